//! `.ci/libtorch` on small made-up archives: what it lays out, and that each failure is told and leaves nothing half done.
//! Without the network: archives come from `file://`, wheels from a folder.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::support::zip::zip;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/libtorch");

/// A folder of its own for the cache, the archive and what is laid out.
struct Installation(TempDir);

/// How a call ended.
struct Ended {
    status: i32,
    /// Both streams.
    said: String,
}

impl Installation {
    fn new() -> Self {
        let installation = Self(TempDir::new().unwrap());
        fs::create_dir(installation.path("bin")).unwrap();
        installation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The file in the script's cache.
    fn cached(&self, name: &str) -> PathBuf {
        fs::create_dir_all(self.path("cache/knightwatch")).unwrap();
        self.path("cache/knightwatch").join(name)
    }

    /// A program that is found before the real one.
    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    fn script(&self) -> Command {
        self.run_by("bash")
    }

    fn run_by(&self, shell: &str) -> Command {
        let mut command = Command::new(shell);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["PIP_", "KNIGHTWATCH_", "LIBTORCH"].iter().any(|start| text.starts_with(start))
                || text.to_lowercase().ends_with("_proxy")
            {
                command.env_remove(&name);
            }
        }
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("XDG_CACHE_HOME", self.path("cache")).env("PIP_NO_INDEX", "1");
        if shell == "bash" {
            command.arg(SCRIPT);
        }
        command
    }

    /// A call for the archive at `archive`, with its sum, into `laid`.
    fn archive(&self, archive: &Path) -> Command {
        let mut command = self.script();
        command
            .env("KNIGHTWATCH_LIBTORCH_URL", format!("file://{}", archive.display()))
            .args(["--platform", "linux-x86_64", "--from", "archive", "--sha256"])
            .arg(sum(&fs::read(archive).unwrap()))
            .arg(self.path("laid"));
        command
    }

    /// A made-up official archive.
    fn libtorch(&self) -> PathBuf {
        self.of_version("2.13.0+cpu")
    }

    fn of_version(&self, version: &str) -> PathBuf {
        let path = self.path("archive.zip");
        let big = vec![7; 200_000];
        let files = [
            ("libtorch/build-version", version.as_bytes()),
            ("libtorch/include/torch/a.h", b"one"),
            ("libtorch/include/b.h", b"two"),
            ("libtorch/lib/libtorch.so", b"linked"),
            ("libtorch/lib/libtorch_cpu.so", &big),
            ("libtorch/lib/libc10.so", b"core"),
            ("libtorch/lib/libc10.a", b"not wanted"),
            ("libtorch/share/cmake.txt", b"not wanted"),
        ];
        fs::write(&path, zip(&files)).unwrap();
        path
    }

    /// What lies in the folder of `laid` beside `laid` itself: nothing of a call that has ended.
    fn leftovers(&self) -> Vec<String> {
        let names = [self.0.path().to_owned(), self.path("cache/knightwatch")]
            .into_iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| {
                name.contains(".partial.") || name.starts_with("partial.") || name.contains(".old.")
            })
            .collect()
    }

    #[track_caller]
    fn assert_nothing_laid(&self) {
        assert!(!self.path("laid").exists(), "something was laid out");
        assert_eq!(self.leftovers(), [""; 0]);
    }
}

fn sum(bytes: &[u8]) -> String {
    const_hex::encode(Sha256::digest(bytes))
}

fn ended(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ended { status: output.status.code().unwrap_or(-1), said }
}

impl Ended {
    #[track_caller]
    fn with(self, status: i32, words: &[&str]) -> Self {
        assert_eq!(self.status, status, "{}", self.said);
        for word in words {
            assert!(self.said.contains(word), "expected {word:?} in: {}", self.said);
        }
        self
    }
}

#[test]
fn an_archive_is_laid_out_without_what_no_build_needs() {
    let installation = Installation::new();
    let laid = installation.path("laid");
    ended(&mut installation.archive(&installation.libtorch()))
        .with(0, &["2.13.0 for linux-x86_64 lies in", "export LIBTORCH="]);
    assert_eq!(fs::read_to_string(laid.join("build-version")).unwrap(), "2.13.0\n");
    assert_eq!(fs::read(laid.join("include/torch/a.h")).unwrap(), b"one");
    assert_eq!(fs::read(laid.join("lib/libtorch_cpu.so")).unwrap().len(), 200_000);
    assert!(!laid.join("lib/libc10.a").exists());
    assert!(!laid.join("share").exists());
    assert_eq!(installation.leftovers(), [""; 0]);
    ended(installation.script().args(["--platform", "linux-x86_64", "--check"]).arg(laid))
        .with(0, &["all 7 files"]);
}

#[test]
fn a_second_call_fetches_and_unpacks_nothing() {
    let installation = Installation::new();
    let mut call = installation.archive(&installation.libtorch());
    ended(&mut call).with(0, &[]);
    fs::remove_dir_all(installation.path("cache")).unwrap();
    for tool in ["curl", "unzip", "python3", "sha256sum"] {
        installation.program(tool, "exit 99");
    }
    let again = ended(&mut call).with(0, &["lies in"]);
    assert!(!again.said.contains("fetching"), "{}", again.said);
    assert!(!installation.path("cache").exists());
}

#[test]
fn python_unpacks_where_unzip_is_missing() {
    let installation = Installation::new();
    let archive = installation.libtorch();
    let hidden = installation.path("hidden");
    fs::create_dir(&hidden).unwrap();
    // Everything that is there, except unzip.
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap()) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name() != "unzip" {
                let _ = symlink(entry.path(), hidden.join(entry.file_name()));
            }
        }
    }
    if hidden.join("python3").exists() {
        ended(installation.archive(&archive).env("PATH", &hidden)).with(0, &["lies in"]);
        assert_eq!(fs::read(installation.path("laid/include/torch/a.h")).unwrap(), b"one");
        fs::remove_dir_all(installation.path("laid")).unwrap();
        fs::remove_file(hidden.join("python3")).unwrap();
    }
    ended(installation.archive(&archive).env("PATH", &hidden))
        .with(3, &["unzip is missing", "apt-get install unzip", "brew"]);
    installation.assert_nothing_laid();
}

#[test]
fn a_wrong_sum_is_told_and_nothing_is_kept() {
    let installation = Installation::new();
    let archive = installation.libtorch();
    let mut call = installation.archive(&archive);
    let expected = sum(&fs::read(&archive).unwrap());
    let mut bytes = fs::read(&archive).unwrap();
    bytes[90] ^= 1;
    fs::write(&archive, &bytes).unwrap();
    ended(&mut call).with(5, &["sum of the archive is wrong", &sum(&bytes), &expected]);
    installation.assert_nothing_laid();
    bytes[90] ^= 1;
    fs::write(&archive, &bytes).unwrap();
    ended(&mut call).with(0, &["lies in"]);
}

#[test]
fn an_archive_without_a_sum_is_refused_unless_it_may_be_unchecked() {
    let installation = Installation::new();
    let archive = installation.libtorch();
    let call = |more: &str| {
        let mut call = installation.script();
        call.env("KNIGHTWATCH_LIBTORCH_URL", format!("file://{}", archive.display()))
            .args(["--platform", "linux-x86_64", "--from", "archive"])
            .args(more.split_whitespace())
            .arg(installation.path("laid"));
        ended(&mut call)
    };
    call("").with(2, &["--sha256", "--unchecked"]);
    call("--sha256 12").with(2, &["64 hexadecimal digits"]);
    installation.assert_nothing_laid();
    call("--unchecked").with(0, &[&sum(&fs::read(&archive).unwrap())]);
}

#[test]
fn a_download_that_was_cut_off_is_resumed() {
    let installation = Installation::new();
    let archive = installation.libtorch();
    let bytes = fs::read(&archive).unwrap();
    let cut = installation.cached(&format!("{}.cut", sum(&bytes)));
    fs::write(&cut, &bytes[..100_000]).unwrap();
    ended(&mut installation.archive(&archive)).with(0, &["lies in"]);

    // Other bytes in the first half tell that only the second one was fetched.
    let installation = Installation::new();
    let archive = installation.libtorch();
    let cut = installation.cached(&format!("{}.cut", sum(&bytes)));
    fs::write(&cut, vec![0; 100_000]).unwrap();
    ended(&mut installation.archive(&archive)).with(5, &["sum of the archive is wrong"]);
    installation.assert_nothing_laid();
    ended(&mut installation.archive(&archive)).with(0, &["lies in"]);
}

#[test]
fn no_network_is_told() {
    let installation = Installation::new();
    let archive = installation.libtorch();
    let mut call = installation.archive(&archive);
    call.env("KNIGHTWATCH_LIBTORCH_URL", "http://archive.invalid/libtorch.zip")
        .env("http_proxy", "http://127.0.0.1:1");
    ended(&mut call).with(4, &["could not be fetched", "http://archive.invalid/libtorch.zip", "proxy"]);
    installation.assert_nothing_laid();
    call.env("KNIGHTWATCH_LIBTORCH_URL", "file:///nowhere.zip");
    ended(&mut call).with(4, &["/nowhere.zip could not be fetched"]);
}

/// `/dev/full` fails as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_the_download_is_told() {
    let installation = Installation::new();
    let archive = installation.libtorch();
    symlink("/dev/full", installation.cached(&format!("{}.cut", sum(&fs::read(&archive).unwrap())))).unwrap();
    ended(&mut installation.archive(&archive)).with(6, &["is full", "XDG_CACHE_HOME"]);
    installation.assert_nothing_laid();
}

/// On a small disk of its own, where this user may mount one: what fits into the cache does not fit beside its goal.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_the_layout_is_told() {
    let alone = ["--map-root-user", "--mount"];
    if !Command::new("unshare").args(alone).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("no mounts here: a disk cannot be made small");
        return;
    }
    let installation = Installation::new();
    let archive = installation.libtorch();
    fs::create_dir(installation.path("small")).unwrap();
    let script = "mount -t tmpfs -o size=128k none \"$1\" && shift && \"$@\"; status=$?; ls -A \"$KEPT\"; exit $status";
    let call = installation.archive(&archive);
    let mut inside = installation.run_by("unshare");
    inside
        .args(alone)
        .args(["sh", "-c", script, "sh"])
        .arg(installation.path("small"))
        .arg("bash")
        .env("KEPT", installation.path("small"));
    inside.args(call.get_args().take(call.get_args().len() - 1)).arg(installation.path("small/laid"));
    inside.env("KNIGHTWATCH_LIBTORCH_URL", format!("file://{}", archive.display()));
    let ended = ended(&mut inside).with(6, &["is full; make room or name a folder on another disk"]);
    assert!(!ended.said.lines().any(|line| line.starts_with("laid")), "something is left: {}", ended.said);
}

/// A call that is unpacking, and will be for ever.
fn unpacking(installation: &Installation) -> Child {
    installation.program("unzip", "exec tail -f /dev/null");
    let mut call = installation.archive(&installation.libtorch());
    let mut child = call.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .find(|line| line.contains("unpacking the archive"))
        .expect("it comes to unpacking");
    child
}

#[test]
fn whoever_stops_it_leaves_nothing_behind() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let installation = Installation::new();
        let mut child = unpacking(&installation);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status));
        installation.assert_nothing_laid();
    }
}

#[test]
fn after_a_kill_nothing_is_half_laid_out_and_the_next_call_cleans_up() {
    let installation = Installation::new();
    let mut child = unpacking(&installation);
    kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    fs::remove_file(installation.path("bin/unzip")).unwrap();
    assert!(!installation.path("laid").exists());
    assert!(!installation.leftovers().is_empty(), "it was in the middle");
    ended(&mut installation.archive(&installation.libtorch())).with(0, &["lies in"]);
    assert_eq!(installation.leftovers(), [""; 0]);
}

#[test]
fn platforms_without_a_libtorch_are_refused_by_name() {
    let installation = Installation::new();
    let call = |uname: &str, ldd: &str, glibc: &str| {
        let (system, machine) = uname.split_once(' ').unwrap();
        installation.program("uname", &format!("case $1 in -s) echo {system};; *) echo {machine};; esac"));
        installation.program("ldd", &format!("echo '{ldd}' >&2; exit 1"));
        installation.program("getconf", &format!("echo '{glibc}'"));
        ended(installation.script().arg(installation.path("laid")))
            .with(7, &["there is no libtorch 2.13.0 for", "linux-x86_64"])
    };
    call("Linux x86_64", "musl libc (x86_64)", "").with(7, &["musl", "container"]);
    call("Linux x86_64", "ldd (GNU libc) 2.27", "glibc 2.27").with(7, &["glibc 2.27", "2.28 or newer"]);
    call("Linux riscv64", "ldd (GNU libc) 2.41", "glibc 2.41").with(7, &["riscv64"]);
    call("Darwin x86_64", "", "").with(7, &["Intel"]);
    call("MINGW64_NT-10.0 x86_64", "", "").with(7, &["WSL"]);
    ended(installation.script().args(["--platform", "beos"]).arg(installation.path("laid")))
        .with(7, &["'beos'"]);
    installation.assert_nothing_laid();
}

#[test]
fn what_has_changed_since_is_found() {
    let installation = Installation::new();
    let mut call = installation.archive(&installation.libtorch());
    let laid = installation.path("laid");
    let check = || ended(installation.script().args(["--platform", "linux-x86_64", "--check"]).arg(&laid));
    check().with(8, &["is not whole"]);
    ended(&mut call).with(0, &[]);

    fs::write(laid.join("include/b.h"), b"TWO").unwrap();
    check().with(8, &["./include/b.h", "lay it out again"]);
    fs::write(laid.join("include/b.h"), b"two").unwrap();
    check().with(0, &[]);
    fs::write(laid.join("include/new.h"), b"").unwrap();
    check().with(8, &["7 files then, 8 now"]);

    fs::write(laid.join("lib/libc10.so"), b"cut").unwrap();
    check().with(8, &["lib/libc10.so is missing or has changed"]);
    ended(&mut call).with(0, &["laying out again: lib/libc10.so"]);
    check().with(0, &["all 7 files"]);
    assert_eq!(installation.leftovers(), [""; 0]);
}

#[test]
fn what_was_there_stays_when_laying_out_again_fails() {
    let installation = Installation::new();
    let archive = installation.libtorch();
    ended(&mut installation.archive(&archive)).with(0, &[]);
    fs::write(installation.path("laid/lib/libc10.so"), b"cut").unwrap();
    fs::remove_dir_all(installation.path("cache")).unwrap();
    ended(installation.archive(&archive).env("KNIGHTWATCH_LIBTORCH_URL", "file:///nowhere.zip")).with(4, &[]);
    assert_eq!(fs::read(installation.path("laid/include/b.h")).unwrap(), b"two");
    assert_eq!(installation.leftovers(), [""; 0]);
}

#[test]
fn what_somebody_else_put_there_is_left_alone() {
    let installation = Installation::new();
    let laid = installation.path("laid");
    fs::create_dir(&laid).unwrap();
    fs::write(laid.join("letter.txt"), "dear").unwrap();
    ended(&mut installation.archive(&installation.libtorch()))
        .with(2, &["holds something else", "move it away"]);
    assert_eq!(fs::read_dir(&laid).unwrap().count(), 1);

    fs::create_dir(laid.join("include")).unwrap();
    fs::write(laid.join("build-version"), "2.13.0+cpu\n").unwrap();
    ended(&mut installation.archive(&installation.libtorch())).with(0, &["left as it is"]);
    assert!(laid.join("letter.txt").exists());
}

#[test]
fn an_archive_of_something_else_is_refused() {
    let installation = Installation::new();
    ended(&mut installation.archive(&installation.of_version("2.12.1")))
        .with(5, &["holds libtorch 2.12.1", "2.13.0 was expected"]);
    installation.assert_nothing_laid();
    let text = installation.path("page.html");
    fs::write(&text, "<html>please log in</html>").unwrap();
    ended(&mut installation.archive(&text)).with(8, &["does not hold what it should"]);
    installation.assert_nothing_laid();
    let other = installation.path("other.zip");
    fs::write(&other, zip(&[("libtorch/build-version", b"2.13.0"), ("libtorch/include/a.h", b"")])).unwrap();
    ended(&mut installation.archive(&other)).with(8, &["does not hold what it should"]);
    installation.assert_nothing_laid();
}

#[test]
fn a_wrong_call_is_refused() {
    let installation = Installation::new();
    let call = |arguments: &str| {
        ended(installation.script().args(arguments.split(' ')).arg(installation.path("laid")))
    };
    call("--from nowhere").with(2, &["registry or archive, not 'nowhere'"]);
    call("--fast").with(2, &["there is no option --fast"]);
    call("--unchecked --sha256 00").with(2, &["--sha256 goes with --from archive"]);
    call("--platform macos-arm64 --from archive --help").with(0, &["Exit status"]);
    ended(installation.script().arg("--sha256")).with(2, &["--sha256 needs a value"]);
    installation.assert_nothing_laid();
}

/// Made-up wheels of what the registry has; their sums, in the script's order.
fn wheels(folder: &Path) -> String {
    fs::create_dir(folder).unwrap();
    let library = "nvidia/cu13/lib/";
    let torch = ["libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libtorch_cuda.so"]
        .map(|name| format!("torch/lib/{name}"));
    let mut sums = Vec::new();
    for (name, version, tags, files) in [
        ("torch", "2.13.0", "cp311-cp311-manylinux_2_28_x86_64", &torch[..]),
        (
            "nvidia_cuda_runtime",
            "13.0.96",
            "py3-none-manylinux2014_x86_64",
            &[format!("{library}libcudart.so.13")],
        ),
        (
            "nvidia_cuda_cupti",
            "13.0.85",
            "py3-none-manylinux_2_25_x86_64",
            &[format!("{library}libcupti.so.13")],
        ),
    ] {
        let about = format!("{name}-{version}.dist-info");
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        let tag = format!("Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tags}\n");
        let about = ["METADATA", "WHEEL", "RECORD"].map(|file| format!("{about}/{file}"));
        let mut all: Vec<(&str, &[u8])> = files.iter().map(|file| (file.as_str(), &b"library"[..])).collect();
        all.extend([(&*about[0], metadata.as_bytes()), (&*about[1], tag.as_bytes()), (&*about[2], &b""[..])]);
        if name == "torch" {
            all.push(("torch/include/torch/a.h", b"one"));
        }
        let bytes = zip(&all);
        fs::write(folder.join(format!("{name}-{version}-{tags}.whl")), &bytes).unwrap();
        sums.push(sum(&bytes));
    }
    sums.join(" ")
}

#[test]
fn the_wheels_are_laid_out_by_pip_and_checked() {
    let installation = Installation::new();
    let sums = wheels(&installation.path("wheels"));
    let call = || {
        let mut call = installation.script();
        call.args(["--platform", "linux-x86_64"])
            .arg(installation.path("laid"))
            .env("PIP_CONFIG_FILE", "/dev/null");
        call
    };
    let ours = |mut call: Command, sums: &str| {
        ended(call.env("PIP_FIND_LINKS", installation.path("wheels")).env("KNIGHTWATCH_LIBTORCH_SUMS", sums))
    };
    if !Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        ours(call(), &sums).with(3, &["pip is missing", "apt-get install python3-pip", "--from archive"]);
        return;
    }
    // The script's own sums are those of the real ones.
    ended(call().env("PIP_FIND_LINKS", installation.path("wheels"))).with(5, &["sum of torch is wrong"]);
    installation.assert_nothing_laid();
    let mut nowhere = call();
    nowhere
        .env_remove("PIP_NO_INDEX")
        .env("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
        .env("PIP_RETRIES", "0")
        .env("PIP_DEFAULT_TIMEOUT", "5");
    ended(&mut nowhere).with(4, &["torch could not be fetched", "pip config list"]);
    installation.assert_nothing_laid();

    ours(call(), &sums).with(0, &["lies in"]);
    let laid = installation.path("laid");
    let mut libraries: Vec<_> = fs::read_dir(laid.join("lib"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    libraries.sort();
    let expected =
        ["libc10.so", "libcudart.so.13", "libcupti.so.13", "libgomp.so.1", "libtorch.so", "libtorch_cpu.so"];
    assert_eq!(libraries, expected);
    assert_eq!(
        fs::read_to_string(laid.join("lib/libtorch.so")).unwrap(),
        "INPUT(libtorch_cpu.so libc10.so)\n"
    );
    assert_eq!(fs::read(laid.join("include/torch/a.h")).unwrap(), b"one");

    // What was fetched once is not fetched again, unless it went bad in the meantime.
    fs::remove_dir_all(&laid).unwrap();
    fs::remove_dir_all(installation.path("wheels")).unwrap();
    ours(call(), &sums).with(0, &["lies in"]);
    fs::remove_dir_all(&laid).unwrap();
    fs::write(installation.cached(sums.split(' ').next().unwrap()), "rotten").unwrap();
    ours(call(), &sums).with(4, &["torch could not be fetched"]);
    installation.assert_nothing_laid();
}
