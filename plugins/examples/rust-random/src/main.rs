//! A synthesizer: random search over chains of convolution blocks. The engine starts it.

use std::{collections::HashSet, process::ExitCode};

use neunets::{
    bad_field, serve,
    spaces::{build, draw_chain, fits, name_of, SplitMix, OPERATORS},
    synthesizer::{
        assess_response::Verdict, event, propose_response::Outcome, AssessResponse, Budget, Candidate, Capability,
        DescribeResponse, Event, Exhausted, Problem, Proposals,
    },
    Session, Settings, Synthesizer,
};
use tonic::Status;

/// Draws of one network before the space counts as empty; widths halve after each `SHRINK_AFTER` of them.
const DRAWS: u64 = 8192;
const SHRINK_AFTER: u64 = 1500;

struct Random;

impl Synthesizer for Random {
    fn describe(&self) -> DescribeResponse {
        DescribeResponse {
            name: "rust-random".to_string(),
            version: "0.1.0".to_string(),
            summary: "Random search over chains of convolution blocks, in Rust.".to_string(),
            capabilities: vec![Capability::Deterministic as i32],
            graph_ops: OPERATORS.map(String::from).to_vec(),
            ..Default::default()
        }
    }

    fn open(&self, problem: Problem, _: Settings, seed: u64) -> Result<Box<dyn Session>, Status> {
        let rank = problem.input.as_ref().map_or(0, |input| input.shape.len());
        if !(2..=3).contains(&rank) {
            return Err(bad_field("problem.input.shape", "images have 3 extents, sequences 2"));
        }
        Ok(Box::new(Run { problem, seed, seen: HashSet::new() }))
    }
}

/// The run's fold: the networks that were proposed. Candidate k depends on the seed, on k and on those alone.
struct Run {
    problem: Problem,
    seed: u64,
    seen: HashSet<String>,
}

impl Session for Run {
    fn propose(&mut self, want: usize, _: Option<&Budget>) -> Result<Outcome, Status> {
        let (mut seen, mut candidates) = (self.seen.clone(), vec![]);
        while candidates.len() < want {
            let Some(candidate) = (0..DRAWS).find_map(|draw| self.draw(draw, &seen)) else { break };
            seen.insert(candidate.local_id.clone());
            candidates.push(candidate);
        }
        if candidates.is_empty() {
            return Ok(Outcome::Exhausted(Exhausted { reason: "no network is left that fits".to_string() }));
        }
        Ok(Outcome::Proposals(Proposals { candidates }))
    }

    fn ingest(&mut self, events: &[Event]) -> Result<(), Status> {
        for event in events {
            if let Some(event::Event::Proposed(proposed)) = &event.event {
                let known = proposed.candidates.iter().filter_map(|each| each.candidate.as_ref());
                self.seen.extend(known.map(|candidate| candidate.local_id.clone()));
            }
        }
        Ok(())
    }

    fn assess(&mut self, _: Option<&Budget>, _: &[String]) -> Result<AssessResponse, Status> {
        let reason = format!("random search goes on: {} networks so far", self.seen.len());
        Ok(AssessResponse { verdict: Verdict::Continue as i32, progress: Some(0.0), reason, ..Default::default() })
    }
}

impl Run {
    /// A network that was not proposed yet and keeps the bounds, or None.
    fn draw(&self, draw: u64, seen: &HashSet<String>) -> Option<Candidate> {
        let mut random = SplitMix(self.seed ^ (seen.len() as u64) << 20 ^ draw);
        let chain = draw_chain(&mut random, (draw / SHRINK_AFTER) as u32);
        let (name, network) = (name_of(&chain), build(&self.problem, &chain));
        if seen.contains(&name) || !fits(&self.problem, &network) {
            return None;
        }
        let rationale = format!("drawn at random: {name}");
        Some(Candidate { local_id: name, graph: Some(network.graph), rationale, ..Default::default() })
    }
}

fn main() -> ExitCode {
    serve(Random)
}
