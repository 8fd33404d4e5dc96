//! The contract in front of a search: epochs, sequence numbers, repeated requests.

use std::{
    collections::HashMap,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tonic::{async_trait, Request, Response, Status};

use crate::{
    errors,
    errors::bad_field,
    synthesizer::{
        propose_response::Outcome, synthesizer_server::Synthesizer as Contract, AssessRequest, AssessResponse, Budget,
        Call, CloseRequest, CloseResponse, DescribeRequest, DescribeResponse, Event, IngestRequest, IngestResponse,
        OpenRequest, OpenResponse, Problem, ProposeRequest, ProposeResponse, SnapshotRequest, SnapshotResponse,
    },
    settings::{complete, to_struct, Settings},
};

const MAX_WANT: u32 = 64;

/// A search algorithm: what it is, and how it begins a run.
pub trait Synthesizer: Send + Sync + 'static {
    /// The same each time. What is left open gets a default: both tasks, no settings, 16 candidates a batch, 1,024 runs.
    fn describe(&self) -> DescribeResponse;

    /// Begin a run. Equal arguments and events have to give equal candidates, in another process as well.
    fn open(&self, problem: Problem, settings: Settings, seed: u64) -> Result<Box<dyn Session>, Status>;
}

/// One run of a search: a fold over its events.
pub trait Session: Send {
    /// At most `want` candidates, or Wait, or Exhausted. The fold stays as it was.
    fn propose(&mut self, want: usize, budget: Option<&Budget>) -> Result<Outcome, Status>;

    /// Events in their order, each once.
    fn ingest(&mut self, events: &[Event]) -> Result<(), Status>;

    /// A verdict on the run so far.
    fn assess(&mut self, budget: Option<&Budget>, running_trials: &[String]) -> Result<AssessResponse, Status>;
}

/// A run that is open; its lock is held by one call at a time.
struct Run {
    epoch: u64,
    work: Mutex<Work>,
}

struct Work {
    session: Box<dyn Session>,
    applied: u64,
    answered: Option<(String, ProposeResponse)>,
}

pub(crate) struct Server {
    synthesizer: Box<dyn Synthesizer>,
    pub(crate) description: DescribeResponse,
    runs: Mutex<HashMap<String, Arc<Run>>>,
}

impl Server {
    pub(crate) fn new(synthesizer: impl Synthesizer) -> Self {
        let description = complete_description(synthesizer.describe());
        Self { synthesizer: Box::new(synthesizer), description, runs: Mutex::default() }
    }

    pub(crate) fn open_runs(&self) -> u32 {
        self.runs().len() as u32
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, request: OpenRequest) -> Result<OpenResponse, Status> {
        let call = request.call.unwrap_or_default();
        needed("call.run", !call.run.is_empty())?;
        let problem = request.problem.ok_or_else(|| bad_field("problem", "unset"))?;
        self.check(&problem)?;
        let settings = complete(&self.description.settings_schema_json, request.settings.as_ref())?;
        if request.checkpoint.is_some() {
            return Err(errors::bad_checkpoint());
        }
        if let Some(before) = self.runs().get(&call.run).filter(|before| call.epoch < before.epoch) {
            return Err(errors::stale_epoch(before.epoch));
        }
        let effective_settings = Some(to_struct(&settings));
        let session = guarded(|| self.synthesizer.open(problem, settings, request.seed))?;
        if !request.validate_only {
            self.keep(call, session)?;
        }
        Ok(OpenResponse { applied_seq: 0, effective_settings, diagnostics: vec![] })
    }

    fn check(&self, problem: &Problem) -> Result<(), Status> {
        needed("problem.input", problem.input.is_some())?;
        let classes = problem.dataset.as_ref().map_or(0, |dataset| dataset.classes);
        needed("problem.dataset.classes", classes >= 2)?;
        needed("problem.task", !problem.task.is_empty())?;
        if !self.description.tasks.contains(&problem.task) {
            return Err(errors::unsupported(format!("the task {:?} is none of {:?}", problem.task, self.description.tasks)));
        }
        Ok(())
    }

    fn keep(&self, call: Call, session: Box<dyn Session>) -> Result<(), Status> {
        let mut runs = self.runs();
        if !runs.contains_key(&call.run) && runs.len() >= self.description.max_open_runs as usize {
            return Err(errors::busy(self.description.max_open_runs));
        }
        let work = Mutex::new(Work { session, applied: 0, answered: None });
        runs.insert(call.run, Arc::new(Run { epoch: call.epoch, work }));
        Ok(())
    }

    fn run(&self, call: &Call) -> Result<Arc<Run>, Status> {
        needed("call.run", !call.run.is_empty())?;
        let runs = self.runs();
        let run = runs.get(&call.run).ok_or_else(|| {
            errors::run_not_open(format!("run {} is not open here: open it and replay its events", call.run))
        })?;
        if call.epoch < run.epoch {
            return Err(errors::stale_epoch(run.epoch));
        }
        if call.epoch > run.epoch {
            return Err(errors::run_not_open(format!("epoch {} opened the run: open it again", run.epoch)));
        }
        Ok(run.clone())
    }

    fn forget(&self, name: &str, run: &Arc<Run>) {
        let mut runs = self.runs();
        if runs.get(name).is_some_and(|found| Arc::ptr_eq(found, run)) {
            runs.remove(name);
        }
    }

    fn answer_propose(&self, request: ProposeRequest) -> Result<ProposeResponse, Status> {
        let call = request.call.unwrap_or_default();
        let run = self.run(&call)?;
        needed("call.request_id", !call.request_id.is_empty())?;
        if !(1..=MAX_WANT).contains(&request.want) {
            return Err(bad_field("want", &format!("{} is not within 1..{MAX_WANT}", request.want)));
        }
        let mut work = entered(&run)?;
        work.is_up_to_date(&call)?;
        if let Some((id, answer)) = &work.answered {
            if *id == call.request_id && answer.based_on_seq == work.applied {
                return Ok(answer.clone());
            }
        }
        let want = request.want.min(self.description.max_batch) as usize;
        let outcome = guarded(|| work.session.propose(want, request.budget.as_ref()))?;
        let is_wait = matches!(outcome, Outcome::Wait(_)); // a request that has to wait is made again
        let answer = ProposeResponse { based_on_seq: work.applied, outcome: Some(outcome), ..Default::default() };
        work.answered = (!is_wait).then(|| (call.request_id, answer.clone()));
        Ok(answer)
    }

    fn answer_ingest(&self, request: IngestRequest) -> Result<IngestResponse, Status> {
        let call = request.call.unwrap_or_default();
        let run = self.run(&call)?;
        let mut work = entered(&run)?;
        let known = request.events.iter().take_while(|event| event.seq <= work.applied).count();
        let fresh = &request.events[known..];
        for (event, expected) in fresh.iter().zip(work.applied + 1..) {
            if event.seq != expected {
                let text = format!("event {expected} is missing before event {}", event.seq);
                return Err(errors::sequence_gap(work.applied, text));
            }
        }
        if let Err(status) = guarded(|| work.session.ingest(fresh)) {
            self.forget(&call.run, &run); // nobody knows which events are in its state
            return Err(status);
        }
        work.applied += fresh.len() as u64;
        Ok(IngestResponse { applied_seq: work.applied, ..Default::default() })
    }

    fn answer_assess(&self, request: AssessRequest) -> Result<AssessResponse, Status> {
        let call = request.call.unwrap_or_default();
        let run = self.run(&call)?;
        let mut work = entered(&run)?;
        work.is_up_to_date(&call)?;
        guarded(|| work.session.assess(request.budget.as_ref(), &request.running_trials))
    }

    fn end(&self, request: CloseRequest) -> Result<CloseResponse, Status> {
        let call = request.call.unwrap_or_default();
        needed("call.run", !call.run.is_empty())?;
        let mut runs = self.runs();
        if let Some(run) = runs.get(&call.run).filter(|run| call.epoch < run.epoch) {
            return Err(errors::stale_epoch(run.epoch));
        }
        runs.remove(&call.run);
        Ok(CloseResponse::default())
    }
}

impl Work {
    fn is_up_to_date(&self, call: &Call) -> Result<(), Status> {
        if call.log_seq == self.applied {
            return Ok(());
        }
        let text = format!("the log stands at {}, events up to {} came", call.log_seq, self.applied);
        Err(errors::sequence_gap(self.applied, text))
    }
}

/// Generated for `Arc<Server>`: registration reads the same description and runs.
#[async_trait]
impl Contract for Arc<Server> {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        Ok(Response::new(self.description.clone()))
    }

    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        aside(self, request, Server::begin).await
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        aside(self, request, Server::answer_propose).await
    }

    async fn ingest(&self, request: Request<IngestRequest>) -> Result<Response<IngestResponse>, Status> {
        aside(self, request, Server::answer_ingest).await
    }

    async fn assess(&self, request: Request<AssessRequest>) -> Result<Response<AssessResponse>, Status> {
        aside(self, request, Server::answer_assess).await
    }

    async fn close(&self, request: Request<CloseRequest>) -> Result<Response<CloseResponse>, Status> {
        self.end(request.into_inner()).map(Response::new)
    }

    type SnapshotStream = tokio_stream::Empty<Result<SnapshotResponse, Status>>;

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(Status::unimplemented("SNAPSHOT is not declared"))
    }
}

/// A search may compute for long: it does so beside the threads that answer health and other calls.
async fn aside<Q: Send + 'static, A: Send + 'static>(
    server: &Arc<Server>,
    request: Request<Q>,
    answer: fn(&Server, Q) -> Result<A, Status>,
) -> Result<Response<A>, Status> {
    let (server, message) = (server.clone(), request.into_inner());
    let done = tokio::task::spawn_blocking(move || answer(&server, message)).await;
    done.map_err(|error| errors::fault(error.to_string()))?.map(Response::new)
}

fn needed(path: &str, is_given: bool) -> Result<(), Status> {
    if is_given {
        Ok(())
    } else {
        Err(bad_field(path, "unset, or too small"))
    }
}

fn entered(run: &Run) -> Result<MutexGuard<'_, Work>, Status> {
    run.work.try_lock().map_err(|_| errors::in_flight())
}

/// A panic of the search ends the call, not the process with all its runs.
fn guarded<A>(work: impl FnOnce() -> Result<A, Status>) -> Result<A, Status> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(errors::fault("the search panicked".to_string())))
}

fn complete_description(mut given: DescribeResponse) -> DescribeResponse {
    if given.tasks.is_empty() {
        given.tasks = ["image-classification", "sequence-classification"].map(String::from).to_vec();
    }
    if given.settings_schema_json.is_empty() {
        given.settings_schema_json = r#"{"type": "object", "additionalProperties": false}"#.to_string();
    }
    given.max_open_runs = if given.max_open_runs == 0 { 1024 } else { given.max_open_runs };
    given.max_batch = if given.max_batch == 0 { 16 } else { given.max_batch };
    given.ready = given.not_ready_reason.is_empty();
    given
}
