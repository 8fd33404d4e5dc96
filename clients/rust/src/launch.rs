//! A synthesizer's process: its socket, its registration with the engine, its end.

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use tokio::{
    net::UnixListener,
    runtime::Runtime,
    signal::unix::{signal, SignalKind},
    sync::Notify,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server as Transport;

use crate::{
    place::connect,
    synthesizer::{
        plugin_host_client::PluginHostClient, synthesizer_server::SynthesizerServer, RegisterRequest, RenewRequest,
    },
    server::{Server, Synthesizer},
};

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
const PROTOCOL_MAJOR: u32 = 1;
const CALL: Duration = Duration::from_secs(5);
const DEFAULT_LEASE: Duration = Duration::from_secs(30);
const SHUTDOWN: Duration = Duration::from_secs(1);

type Failure = Box<dyn Error + Send + Sync>;

/// Serve until the engine, or a signal, ends the process. Exit codes: 2 where the environment lacks a variable, 1 where
/// the engine refuses this synthesizer.
pub fn serve(synthesizer: impl Synthesizer) -> ExitCode {
    if env::var("NEUNETS_PARENT_DEATH").as_deref() == Ok("1") && !dies_with_parent() {
        return ExitCode::FAILURE;
    }
    let variable = |name: &str| env::var(name).map_err(|_| eprintln!("{name} is unset: the engine starts synthesizers"));
    let names = ["NEUNETS_HOST", "NEUNETS_LAUNCH_TOKEN", "NEUNETS_SOCKET_DIR"].map(variable);
    let [Ok(host), Ok(token), Ok(folder)] = names else {
        return ExitCode::from(2);
    };
    let path = PathBuf::from(folder).join(format!("{}.sock", std::process::id()));
    let served = Runtime::new().map_err(Failure::from).and_then(|runtime| {
        let ended = runtime.block_on(run(Arc::new(Server::new(synthesizer)), &host, token, path.clone()));
        runtime.shutdown_timeout(SHUTDOWN); // a search that computes on does not hold up the end
        ended
    });
    let _ = fs::remove_file(path); // the engine removes the folder
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(server: Arc<Server>, host: &str, token: String, path: PathBuf) -> Result<(), Failure> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<SynthesizerServer<Arc<Server>>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()?;
    let ending = Arc::new(Notify::new());
    let incoming = UnixListenerStream::new(listener(&path)?);
    let until = ending.clone();
    let serving = tokio::spawn(
        Transport::builder()
            .add_service(SynthesizerServer::new(server.clone()))
            .add_service(health_service)
            .add_service(reflection)
            .serve_with_incoming_shutdown(incoming, async move { until.notified().await }),
    );
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ended = tokio::select! {
        kept = keep_registered(&server, host, token, format!("unix:{}", path.display())) => kept,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    ending.notify_one();
    let _ = tokio::time::timeout(SHUTDOWN, serving).await;
    ended
}

/// The socket, closed to other users.
fn listener(path: &PathBuf) -> std::io::Result<UnixListener> {
    let _ = fs::remove_file(path); // a process that was killed may have left one
    // SAFETY: umask only sets a number of this process.
    let before = unsafe { libc::umask(0o077) };
    let listener = UnixListener::bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    listener
}

/// Register, then renew the lease until the engine wants this process to end.
async fn keep_registered(server: &Server, host: &str, token: String, endpoint: String) -> Result<(), Failure> {
    let mut client = PluginHostClient::new(connect(host)?);
    let description = Some(server.description.clone());
    let request = RegisterRequest { token, endpoint, protocol_majors: vec![PROTOCOL_MAJOR], self_: description };
    let registered = tokio::time::timeout(CALL, client.register(request)).await.map_err(|_| "the engine is silent")?;
    let registered = registered.map_err(|status| format!("the engine refused this plugin: {}", status.message()))?;
    let registered = registered.into_inner();
    let lease = registered.lease.and_then(|lease| lease.try_into().ok()).unwrap_or(DEFAULT_LEASE);
    loop {
        tokio::time::sleep(lease / 3).await;
        let open_runs = server.open_runs();
        let request = RenewRequest { plugin: registered.plugin.clone(), draining: false, open_runs };
        match tokio::time::timeout(CALL, client.renew(request)).await {
            Ok(Ok(renewed)) if renewed.get_ref().please_drain && open_runs == 0 => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(status)) => eprintln!("the lease was not renewed: {}", status.message()),
            Err(_) => eprintln!("the lease was not renewed: the engine is silent"),
        }
    }
}

/// Let the kernel kill this process with the one that started it; false where that has ended already.
fn dies_with_parent() -> bool {
    // SAFETY: both calls take and return numbers.
    unsafe {
        let parent = libc::getppid();
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::getppid() == parent
    }
}
