//! How a remote is reached: which addresses are acceptable, and by which program or protocol.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use gix::protocol::transport::{
    Protocol,
    client::{
        blocking_io::{Transport, http},
        git::{ConnectMode, blocking_io::Connection},
    },
};
use leasectl_remote::{Locality, RemoteUrl, Scheme};

use super::{
    http::{Reach, Remote},
    link::Link,
    meter::Meter,
    pipe,
};
use crate::{process, wire::Failure};

/// Something that speaks Git's protocol with the remote.
pub(crate) type Connected = Box<dyn Transport + Send>;

/// Connects to the remote, or prepares to: HTTP connects with the first request.
pub(crate) fn connect(
    url: &RemoteUrl,
    locality: Locality,
    meter: &Arc<Meter>,
    link: &Arc<Link>,
) -> Result<Connected, Failure> {
    match url.scheme() {
        Scheme::Https | Scheme::Http => {
            let (host, addresses) = resolve(url, locality)?;
            let reach = Reach {
                host: &host,
                addresses: &addresses,
                tls: url.scheme() == Scheme::Https,
            };
            let remote = Remote::new(&reach, Arc::clone(meter), Arc::clone(link))?;
            let url = gix::url::parse(url.as_str())
                .map_err(|error| Failure::Local(super::classify::chain(&error)))?;
            Ok(Box::new(http::Transport::new_http(
                remote,
                url,
                Protocol::V2,
                false,
            )))
        }
        Scheme::Ssh => {
            let (host, addresses) = resolve(url, locality)?;
            let address = addresses.first().ok_or_else(|| unresolved(&host))?;
            let path = url.path_on_host();
            let target = process::SshTarget {
                host: &host,
                address: address.ip(),
                port: address.port(),
                user: url.user(),
                path: &path,
            };
            let mut command = process::ssh(&target, meter.limits().connect_timeout);
            speak(&mut command, meter, pipe::explain_ssh, &path)
        }
        Scheme::File => {
            let path = url
                .local_path()
                .filter(|_| locality == Locality::AllowLocal);
            let path = path.ok_or(Failure::AddressRefused)?;
            if !path.exists() {
                return Err(Failure::NotFound(
                    "there is nothing at this path".to_owned(),
                ));
            }
            let mut command = process::upload_pack(path);
            speak(&mut command, meter, pipe::explain_upload_pack, url.path())
        }
    }
}

fn speak(
    command: &mut std::process::Command,
    meter: &Arc<Meter>,
    explain: fn(&str) -> Failure,
    path: &str,
) -> Result<Connected, Failure> {
    let (output, input) = pipe::start(command, meter, explain)?;
    let host = None::<(String, Option<u16>)>;
    let mode = ConnectMode::Process;
    Ok(Box::new(Connection::new(
        output,
        input,
        Protocol::V2,
        path,
        host,
        mode,
        false,
    )))
}

/// Resolves the host once and checks every address; only these are connected to afterwards.
fn resolve(url: &RemoteUrl, locality: Locality) -> Result<(String, Vec<SocketAddr>), Failure> {
    let (Some(host), Some(port)) = (url.host(), url.effective_port()) else {
        return Err(Failure::Local("the URL has no host".to_owned()));
    };
    let host = host.trim_matches(['[', ']']);
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => (host, port)
            .to_socket_addrs()
            .map_err(|error| Failure::Unavailable(format!("the host name is unknown: {error}")))?
            .collect(),
    };
    if addresses.is_empty() {
        return Err(unresolved(host));
    }
    if addresses
        .iter()
        .any(|address| !locality.permits(address.ip()))
    {
        return Err(Failure::AddressRefused);
    }
    Ok((host.to_owned(), addresses))
}

fn unresolved(host: &str) -> Failure {
    Failure::Unavailable(format!("{host} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_connected_to_unless_local_ones_are_allowed() {
        let url = RemoteUrl::parse("https://127.0.0.1/a/b", Locality::AllowLocal).unwrap();
        assert_eq!(
            resolve(&url, Locality::PublicOnly),
            Err(Failure::AddressRefused)
        );
        assert!(resolve(&url, Locality::AllowLocal).is_ok());
        let url = RemoteUrl::parse("https://localhost/a/b", Locality::AllowLocal).unwrap();
        assert_eq!(
            resolve(&url, Locality::PublicOnly),
            Err(Failure::AddressRefused)
        );
    }
}
