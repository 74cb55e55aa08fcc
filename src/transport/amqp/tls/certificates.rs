//! From the files that a URL names to what rustls wants, with an error that names the file and what is wrong with it.

use crate::error::{Error, Fault};
use crate::transport::amqp::settings::TlsSettings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// What a client is set up with: TLS 1.2 and 1.3, the broker's certificate always verified.
pub(super) fn config(settings: &TlsSettings) -> Result<ClientConfig, Error> {
    let trusted = match &settings.cacertfile {
        Some(file) => authorities_in(file)?,
        None => authorities_of_the_system()?,
    };
    // Named here, because a program may have several and rustls would have to be told which.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| Error::new(Fault::Config, "TLS cannot be used").because(err))?
        .with_root_certificates(trusted);
    match &settings.client {
        None => Ok(config.with_no_client_auth()),
        Some((certfile, keyfile)) => {
            let chain = certificates_in("certfile", certfile)?;
            let key = key_in(keyfile)?;
            config.with_client_auth_cert(chain, key).map_err(|err| unfit(certfile, keyfile, &err))
        }
    }
}

fn authorities_in(file: &Path) -> Result<RootCertStore, Error> {
    let mut trusted = RootCertStore::empty();
    for certificate in certificates_in("cacertfile", file)? {
        trusted.add(certificate).map_err(|_| wrong("cacertfile", file, "has a certificate that cannot be read"))?;
    }
    Ok(trusted)
}

fn authorities_of_the_system() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut trusted = RootCertStore::empty();
    // A system's store may hold some that nobody can read any more.
    trusted.add_parsable_certificates(found.certs);
    match trusted.is_empty() {
        false => Ok(trusted),
        true => {
            let cause = found.errors.first().map_or_else(|| "there are none".into(), ToString::to_string);
            let what = format!("the system's trusted certificates cannot be used ({cause}); name a file with `cacertfile`");
            Err(Error::new(Fault::Config, what))
        }
    }
}

fn certificates_in(setting: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(setting, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            let has = "has no certificate in it; it is to be PEM, with `-----BEGIN CERTIFICATE-----`";
            Err(wrong(setting, file, has))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(wrong(setting, file, "is broken: what is between its BEGIN and END lines is not PEM")),
    }
}

fn key_in(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    const SETTING: &str = "keyfile";
    let text = read(SETTING, file)?;
    let contains = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
    match PrivateKeyDer::from_pem_slice(&text) {
        _ if contains(b"ENCRYPTED") => Err(wrong(SETTING, file, "is encrypted; it is to be a key without a password")),
        Ok(key) => Ok(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            Err(wrong(SETTING, file, "has no private key in it; it is to be PEM, with `-----BEGIN PRIVATE KEY-----`"))
        }
        Err(_) => Err(wrong(SETTING, file, "is broken: what is between its BEGIN and END lines is not PEM")),
    }
}

fn read(setting: &str, file: &Path) -> Result<Vec<u8>, Error> {
    let text = std::fs::read(file).map_err(|err| wrong(setting, file, "cannot be read").because(err))?;
    match text.is_empty() {
        true => Err(wrong(setting, file, "is empty")),
        false => Ok(text),
    }
}

fn unfit(certfile: &Path, keyfile: &Path, err: &rustls::Error) -> Error {
    match err {
        rustls::Error::InconsistentKeys(_) => {
            let certfile = certfile.display();
            wrong("keyfile", keyfile, &format!("is not the key of the first certificate in `{certfile}` (`certfile`)"))
        }
        rustls::Error::InvalidCertificate(_) => wrong("certfile", certfile, "has a certificate that cannot be read"),
        other => wrong("keyfile", keyfile, &format!("cannot be used: {other}")),
    }
}

fn wrong(setting: &str, file: &Path, what: &str) -> Error {
    Error::new(Fault::Config, format!("the file `{}` (`{setting}`) {what}", file.display()))
}
