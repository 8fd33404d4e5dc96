//! Where servers are: unix sockets and addresses of this machine.

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

/// A channel to `unix:PATH` or `HOST:PORT`, without TLS; it connects with the first call.
pub fn connect(target: &str) -> Result<Channel, Error> {
    let Some(path) = target.strip_prefix("unix:") else {
        return Ok(Endpoint::from_shared(format!("http://{target}"))?.connect_lazy());
    };
    let path = PathBuf::from(path);
    // The address is not used but for the authority, which servers check.
    let endpoint = Endpoint::from_static("http://localhost");
    Ok(endpoint.connect_with_connector_lazy(service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    })))
}
