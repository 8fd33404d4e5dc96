//! The service API in an application's words: register data, start a run, watch it, download its model.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::{BuildHasher, Hasher},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tonic::{
    transport::{Channel, Error},
    Code, Request, Status,
};

use crate::{
    place::connect,
    service::{
        datasets_client::DatasetsClient, models_client::ModelsClient, register_dataset_response::State as Reading,
        runs_client::RunsClient, Artifact, CreateRunRequest, Dataset, DownloadRequest, GetModelRequest,
        RegisterDatasetRequest, Run, RunEvent, RunSpec, RunState, WatchRunRequest,
    },
};

const CALL: Duration = Duration::from_secs(30);
const READING: Duration = Duration::from_secs(24 * 3600);
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: u32 = 30; // Attempts in a row after which an engine counts as gone.

/// An engine, seen by an application.
pub struct Client {
    runs: RunsClient<Channel>,
    models: ModelsClient<Channel>,
    datasets: DatasetsClient<Channel>,
}

impl Client {
    /// An engine at `unix:PATH` or `HOST:PORT`; the first call connects.
    pub fn new(target: &str) -> Result<Self, Error> {
        let channel = connect(target)?;
        Ok(Self {
            runs: RunsClient::new(channel.clone()),
            models: ModelsClient::new(channel.clone()),
            datasets: DatasetsClient::new(channel),
        })
    }

    /// Have the engine read a data set: a path on its machine, or the name of a built-in one.
    pub async fn register(&mut self, request: RegisterDatasetRequest) -> Result<Dataset, Status> {
        let mut answers = self.datasets.register(within(request, READING)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if let Some(Reading::Dataset(dataset)) = answer.state {
                return Ok(dataset);
            }
        }
        Err(Status::data_loss("the engine ended the reading without a data set"))
    }

    /// Start a run. The call is repeated under one id, so a lost answer starts no second run.
    pub async fn create(&mut self, spec: RunSpec) -> Result<Run, Status> {
        let request_id = format!("{:016x}{:016x}", random(), random());
        let request = CreateRunRequest { request_id, spec: Some(spec), validate_only: false };
        let mut failures = 0;
        loop {
            match self.runs.create(within(request.clone(), 4 * CALL)).await {
                Ok(run) => return Ok(run.into_inner()),
                Err(status) => pause_after(status, &mut failures).await?,
            }
        }
    }

    /// Hand each event of a run to `on_event`, once, until the run has ended or is paused; returns it as it is then.
    pub async fn watch(&mut self, name: &str, mut on_event: impl FnMut(&RunEvent)) -> Result<Run, Status> {
        let (mut seq, mut failures) = (0, 0);
        loop {
            let request = WatchRunRequest { name: name.to_string(), after_seq: seq, ..Default::default() };
            let mut last = None;
            let ended = async {
                let mut answers = self.runs.watch(within(request, READING)).await?.into_inner();
                while let Some(answer) = answers.message().await? {
                    failures = 0;
                    for event in answer.event.iter().chain(&answer.more) {
                        seq = event.seq;
                        on_event(event);
                    }
                    last = answer.run;
                }
                Ok(())
            };
            let outcome: Result<(), Status> = ended.await;
            match (outcome, last) {
                (Ok(()), Some(run)) if has_ended(&run) && seq >= run.seq => return Ok(run),
                (Ok(()), _) => pause_after(Status::unavailable("the stream ended early"), &mut failures).await?,
                (Err(status), _) => pause_after(status, &mut failures).await?,
            }
        }
    }

    /// Every file of an exported model, written to `folder` and checked by size and SHA-256.
    pub async fn download(&mut self, model: &str, folder: &Path) -> Result<Vec<PathBuf>, Status> {
        let request = GetModelRequest { name: model.to_string() };
        let found = self.models.get(within(request, CALL)).await?.into_inner();
        fs::create_dir_all(folder)?;
        let mut paths = vec![];
        for artifact in &found.artifacts {
            let path = folder.join(&artifact.file);
            fs::write(&path, self.bytes(model, artifact).await?)?;
            paths.push(path);
        }
        Ok(paths)
    }

    async fn bytes(&mut self, model: &str, artifact: &Artifact) -> Result<Vec<u8>, Status> {
        let request = DownloadRequest { name: model.to_string(), file: artifact.file.clone(), ..Default::default() };
        let mut parts = self.models.download(within(request, READING)).await?.into_inner();
        let mut data = vec![];
        while let Some(part) = parts.message().await? {
            data.extend(part.data);
        }
        let expected = artifact.r#ref.as_ref().map_or("", |reference| reference.sha256.as_str());
        let digest: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
        if digest != expected {
            return Err(Status::data_loss(format!("{} arrived with another SHA-256: ask again", artifact.file)));
        }
        Ok(data)
    }
}

fn within<Message>(message: Message, deadline: Duration) -> Request<Message> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn has_ended(run: &Run) -> bool {
    let ends = [RunState::Completed, RunState::Stopped, RunState::Failed, RunState::Paused];
    ends.contains(&run.state())
}

/// Wait where another attempt may do better. Errors: what was answered where it cannot, or after `TRIES` in a row.
async fn pause_after(status: Status, failures: &mut u32) -> Result<(), Status> {
    *failures += 1;
    if *failures >= TRIES || !matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) {
        return Err(status);
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// The standard library seeds each of these at random.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
