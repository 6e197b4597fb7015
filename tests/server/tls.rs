//! TLS on the real process: who is trusted, what a client is told that trusts nobody, and that nothing else leaves loopback.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::served::{Served, command, folder, until};

/// Makes an authority, and a certificate by it for this machine; gives the path of the authority's own.
fn certify(folder: &Path, name: &str) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    let path = folder.join(format!("{name}.pem"));
    fs::write(&path, authority.pem()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn configured(folder: &Path) -> String {
    let text = "[server]\ntls_cert = \"FOLDER/cert.pem\"\ntls_key = \"FOLDER/key.pem\"\n";
    let text = text.replace("FOLDER", folder.to_str().unwrap());
    let path = folder.join("config.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What `knightwatch status` comes to over `url`.
fn status(
    served: &Served,
    url: &str,
    ca: Option<&str>,
    environment: &[(&str, &str)],
) -> (Option<i32>, String) {
    let mut command = served.command(&["status", "--json", "--connect", url]);
    command.args(ca.iter().flat_map(|path| ["--ca", path])).envs(environment.iter().copied());
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    if ended.status.success() {
        let status: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(status["environment"], "test", "{status}");
    }
    (ended.status.code(), said)
}

#[test]
fn who_trusts_the_authority_gets_in_and_who_does_not_is_told_why() {
    let folder = folder();
    let (ours, config) = (certify(folder.path(), "ours"), configured(folder.path()));
    let log = folder.path().join("log");
    let mut program = command(folder.path());
    program.stderr(fs::File::create(&log).unwrap());
    let served = Served::start_by(program, folder, &["--speed", "0", "--config", &config]);
    let url = served.url().to_owned();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let fine = (Some(0), String::new());
    assert_eq!(status(&served, &url, Some(&ours), &[]), fine);
    // The usual variable is heard too.
    assert_eq!(status(&served, &url, None, &[("SSL_CERT_FILE", &ours)]), fine);
    let (code, said) = status(&served, &url, None, &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("certificate") && said.contains("UnknownIssuer") && said.contains("--ca"),
        "{said}"
    );
    // A name that is not in the certificate.
    let other = url.replace("127.0.0.1", "127.0.0.2");
    assert_eq!(status(&served, &other, Some(&ours), &[]).0, Some(3));
    // Nor in the open: from elsewhere, since here the port is known to be this backend's, which is reached by its socket.
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = [("KNIGHTWATCH_STATE", elsewhere.path().to_str().unwrap())];
    assert_eq!(status(&served, &url.replace("https", "http"), None, &elsewhere).0, Some(3));
    let missing = status(&served, &url, Some("/nowhere/ca.pem"), &[]);
    assert!(missing.0 == Some(2) && missing.1.contains("/nowhere/ca.pem"), "{missing:?}");

    // The certificate is renewed while it runs; a key that is not its own, before that, changes nothing.
    let before = fs::read(served.folder().join("key.pem")).unwrap();
    let theirs = certify(served.folder(), "theirs");
    let fresh = fs::read(served.folder().join("key.pem")).unwrap();
    fs::write(served.folder().join("key.pem"), before).unwrap();
    served.signal("HUP");
    let logged = || fs::read_to_string(&log).unwrap();
    until("it says so", || logged().contains("the configuration was not reloaded"));
    assert_eq!(status(&served, &url, Some(&ours), &[]), fine);
    fs::write(served.folder().join("key.pem"), fresh).unwrap();
    served.signal("HUP");
    until("the new one is shown", || status(&served, &url, Some(&theirs), &[]) == fine);
    assert_eq!(status(&served, &url, Some(&ours), &[]).0, Some(3));
}

#[test]
fn without_a_certificate_nothing_listens_beyond_loopback() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000"] {
        let refused = command(folder.path()).args(["serve", "--listen", address]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("is not loopback: it needs server.tls_cert"), "{said}");
        assert!(refused.stdout.is_empty() && !folder.path().join("backend").exists(), "nothing was begun");
    }
    let ca = certify(folder.path(), "ours");
    let config = configured(folder.path());
    fs::write(folder.path().join("cert.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let broken = command(folder.path()).args(["serve", "--config", &config]).output().unwrap();
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(broken.status.code() == Some(2) && said.contains("cert.pem"), "{said} ({ca})");
}
