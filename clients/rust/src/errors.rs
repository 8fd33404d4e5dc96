//! Refusals as the contract wants them: a code, a reason, metadata.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "synthesizer.neunets";

/// A field is missing or wrong; `path` names it with dots ("settings.patience").
pub fn bad_field(path: &str, text: &str) -> Status {
    let message = format!("{path}: {text}");
    let mut details = with_reason("BAD_FIELD", &[("field", path.to_string())]);
    details.add_bad_request_violation(path, message.clone());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

pub(crate) fn unsupported(text: String) -> Status {
    refusal(Code::FailedPrecondition, "UNSUPPORTED_PROBLEM", &[], text)
}

pub(crate) fn run_not_open(text: String) -> Status {
    refusal(Code::FailedPrecondition, "RUN_NOT_OPEN", &[], text)
}

pub(crate) fn stale_epoch(epoch: u64) -> Status {
    refusal(Code::Aborted, "STALE_EPOCH", &[("epoch", epoch.to_string())], format!("the run has epoch {epoch}"))
}

pub(crate) fn in_flight() -> Status {
    refusal(Code::Aborted, "IN_FLIGHT", &[], "another call of the run is at work".to_string())
}

pub(crate) fn sequence_gap(applied: u64, text: String) -> Status {
    refusal(Code::OutOfRange, "SEQ_GAP", &[("applied_seq", applied.to_string())], text)
}

pub(crate) fn bad_checkpoint() -> Status {
    let text = "this synthesizer writes no checkpoints: open the run without one".to_string();
    refusal(Code::DataLoss, "BAD_CHECKPOINT", &[], text)
}

pub(crate) fn busy(most: u32) -> Status {
    let mut details = with_reason("BUSY", &[]);
    details.set_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(Code::ResourceExhausted, format!("{most} runs are open: close one"), details)
}

pub(crate) fn fault(text: String) -> Status {
    refusal(Code::Internal, "INTERNAL", &[], text)
}

fn refusal(code: Code, reason: &str, metadata: &[(&str, String)], text: String) -> Status {
    Status::with_error_details(code, text, with_reason(reason, metadata))
}

fn with_reason(reason: &str, metadata: &[(&str, String)]) -> ErrorDetails {
    let metadata: HashMap<_, _> = metadata.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}
