//! A program in a pseudo-terminal, and a terminal emulator that reads what it writes.
//!
//! Everything waits for a condition with a deadline; nothing sleeps.

use std::{
    fs::File,
    io::{Read, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, MasterPty, PtySize, PtySystem, SlavePty, unix::UnixPtySystem};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};

/// How long anything may take. Long, because test machines are slow; nothing waits that long when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What the emulator was told besides text.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScreenEvents {
    pub(crate) titles: Vec<String>,
    pub(crate) copied: Vec<String>,
    pub(crate) bells: u32,
    /// Frames: synchronised updates begun.
    pub(crate) frames: u32,
    /// Whether a synchronised update is open.
    pub(crate) synchronised: bool,
    /// Sequences that the emulator does not know.
    pub(crate) strange: Vec<String>,
}

impl vt100::Callbacks for ScreenEvents {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.bells += 1;
    }

    fn set_window_icon_name(&mut self, _: &mut vt100::Screen, name: &[u8]) {
        self.titles.push(String::from_utf8_lossy(name).into_owned());
    }

    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.titles.push(String::from_utf8_lossy(title).into_owned());
    }

    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        self.copied.push(String::from_utf8_lossy(data).into_owned());
    }

    fn unhandled_csi(
        &mut self,
        _: &mut vt100::Screen,
        i1: Option<u8>,
        _: Option<u8>,
        params: &[&[u16]],
        c: char,
    ) {
        if i1 == Some(b'?') && params == [[2026]] {
            self.synchronised = c == 'h';
            self.frames += u32::from(c == 'h');
        } else if c != 'm' {
            // Styles that the emulator does not know do no harm.
            self.strange.push(format!("CSI {i1:?} {params:?} {c}"));
        }
    }

    fn unhandled_osc(&mut self, _: &mut vt100::Screen, params: &[&[u8]]) {
        self.strange.push(format!("OSC {params:?}"));
    }
}

/// The emulator and all bytes it was given.
pub(crate) struct Emulator {
    parser: vt100::Parser<ScreenEvents>,
    pub(crate) bytes: Vec<u8>,
}

impl Emulator {
    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    pub(crate) fn told(&self) -> &ScreenEvents {
        self.parser.callbacks()
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        self.screen().contents().contains(text)
    }
}

#[derive(Default)]
struct Flags {
    closing: AtomicBool,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit status, or 1 and a signal.
    pub(crate) status: portable_pty::ExitStatus,
    /// Processor time it used, with the children it waited for.
    pub(crate) cpu: Duration,
}

/// A running program.
pub(crate) struct Pty {
    emulator: Arc<(Mutex<Emulator>, Condvar)>,
    flags: Arc<Flags>,
    ended: mpsc::Receiver<Ended>,
    pub(crate) pid: Pid,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    reader: Option<thread::JoinHandle<()>>,
    /// Kept open, so that the line settings can be read after the program has ended.
    _slave: Box<dyn SlavePty + Send>,
    before: String,
}

pub(crate) const ROWS: u16 = 24;
pub(crate) const COLUMNS: u16 = 80;

impl Pty {
    /// Starts `command` in a terminal of 80×24.
    pub(crate) fn start(command: CommandBuilder) -> Self {
        Self::start_sized(command, COLUMNS, ROWS)
    }

    /// Starts `command` in a terminal that says it is this large; the emulator is 80×24.
    pub(crate) fn start_sized(command: CommandBuilder, columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, ..PtySize::default() };
        let pair = UnixPtySystem::default().openpty(size).expect("a pty");
        let before = modes(&*pair.master);
        let mut child = pair.slave.spawn_command(command).expect("the program starts");
        let pid =
            Pid::from_raw(i32::try_from(child.process_id().expect("a pid")).expect("a pid")).expect("a pid");
        let parser = vt100::Parser::new_with_callbacks(
            ROWS.try_into().expect("rows"),
            COLUMNS.try_into().expect("columns"),
            0,
            ScreenEvents::default(),
        );
        let emulator = Arc::new((Mutex::new(Emulator { parser, bytes: Vec::new() }), Condvar::new()));
        let flags = Arc::new(Flags::default());
        let reader = {
            let (emulator, flags) = (Arc::clone(&emulator), Arc::clone(&flags));
            let mut output = pair.master.try_clone_reader().expect("a reader");
            thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while let Ok(count) = output.read(&mut buffer) {
                    if count == 0 || flags.closing.load(Ordering::SeqCst) {
                        return;
                    }
                    let mut inner = emulator.0.lock().expect("the emulator");
                    inner.bytes.extend(&buffer[..count]);
                    inner.parser.process(&buffer[..count]);
                    emulator.1.notify_all();
                }
            })
        };
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || {
            // Only looked at, so that what it used can still be read.
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let cpu = cpu(pid);
            let _ = tell.send(Ended { status: child.wait().expect("an exit status"), cpu });
        });
        Self {
            emulator,
            flags,
            ended,
            pid,
            writer: Some(pair.master.take_writer().expect("a writer")),
            master: Some(pair.master),
            reader: Some(reader),
            _slave: pair.slave,
            before,
        }
    }

    pub(crate) fn emulator(&self) -> MutexGuard<'_, Emulator> {
        self.emulator.0.lock().expect("the emulator")
    }

    /// Waits until the terminal is as `condition` says; `what` is for the message.
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut(&Emulator) -> bool) {
        assert!(
            self.within(DEADLINE, &mut condition),
            "never: {what}\n{}",
            self.emulator().screen().contents()
        );
    }

    /// Whether the terminal was as `condition` says within `time`.
    pub(crate) fn within(&self, time: Duration, mut condition: impl FnMut(&Emulator) -> bool) -> bool {
        let deadline = Instant::now() + time;
        let mut inner = self.emulator();
        while !condition(&inner) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            inner = self.emulator.1.wait_timeout(inner, left).expect("the emulator").0;
        }
        true
    }

    pub(crate) fn until_shown(&self, text: &str) {
        self.until(text, |emulator| emulator.shows(text));
    }

    /// Waits until `text` was written, wherever it may stand.
    pub(crate) fn until_read(&self, text: &str) {
        self.until(text, |emulator| count(&emulator.bytes, text.as_bytes()) > 0);
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        let writer = self.writer.as_mut().expect("an open terminal");
        writer.write_all(keys.as_bytes()).expect("keys");
        writer.flush().expect("keys");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a signal");
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = PtySize { rows, cols: columns, ..PtySize::default() };
        self.master.as_ref().expect("an open terminal").resize(size).expect("a size");
    }

    /// Stops reading: from now on the terminal takes nothing.
    pub(crate) fn stall(&self) -> MutexGuard<'_, Emulator> {
        self.emulator()
    }

    /// Closes the terminal, as a lost connection does.
    pub(crate) fn hang_up(&mut self) {
        self.flags.closing.store(true, Ordering::SeqCst);
        let master = self.master.take().expect("an open terminal");
        // The reader only sees the flag when it has read something.
        let name = master.tty_name().expect("a name");
        let line = rustix::fs::open(name, OFlags::WRONLY | OFlags::NOCTTY, Mode::empty()).expect("the line");
        File::from(line).write_all(b" ").expect("a byte");
        self.reader.take().expect("a reader").join().expect("the reader");
        drop(self.writer.take());
        drop(master);
    }

    /// Waits for the end.
    pub(crate) fn end(&self) -> Ended {
        self.ended.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            panic!("the program has not ended\n{}", self.emulator().screen().contents());
        })
    }

    /// How it ended, if it has within `time`.
    pub(crate) fn end_within(&self, time: Duration) -> Option<Ended> {
        self.ended.recv_timeout(time).ok()
    }

    /// Asserts that the terminal is as it was before the program.
    pub(crate) fn assert_restored(&self) {
        self.until("the terminal is as it was", |emulator| {
            let screen = emulator.screen();
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && !screen.bracketed_paste()
                && !emulator.told().synchronised
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
                && !screen.inverse()
                && !screen.bold()
                && screen.fgcolor() == vt100::Color::Default
        });
        assert_eq!(self.modes(), self.before, "line settings");
        let emulator = self.emulator();
        let entered = count(&emulator.bytes, b"\x1b[?1049h");
        assert_eq!(entered, count(&emulator.bytes, b"\x1b[?1049l"), "left as often as entered");
    }

    pub(crate) fn assert_raw(&self) {
        assert_ne!(self.modes(), self.before, "line settings");
    }

    /// The line settings now.
    pub(crate) fn modes(&self) -> String {
        modes(&**self.master.as_ref().expect("an open terminal"))
    }
}

fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("line settings"))
}

/// How often `needle` is in `bytes`.
pub(crate) fn count(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}

/// Clock ticks a second as `/proc` counts them: fixed in Linux's interface (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process and of the children it waited for, from `/proc/PID/stat` (proc(5), fields 14 to 17).
pub(crate) fn cpu(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).expect("/proc");
    let fields = stat.rsplit_once(") ").expect("a name").1.split(' ').skip(11).take(4);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}
