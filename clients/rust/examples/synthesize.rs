//! Have an engine find a network for a data set, and download it: `synthesize TARGET DATA TRIALS FOLDER`.

use std::{env, error::Error, path::Path};

use neunets::{
    service::{RegisterDatasetRequest, RunSpec},
    Client,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, target, data, trials, folder] = &env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: synthesize TARGET DATA TRIALS FOLDER".into());
    };
    let mut client = Client::new(target)?;
    let dataset = client.register(RegisterDatasetRequest { source: data.clone(), ..Default::default() }).await?;
    println!("{data}: {} training rows of {} classes", dataset.train_rows, dataset.classes.len());
    let spec = RunSpec { dataset: dataset.name, trials: Some(trials.parse()?), ..Default::default() };
    let started = client.create(spec).await?;
    let mut events = 0;
    let run = client.watch(&started.name, |_| events += 1).await?;
    println!("{}: {:?} after {events} events {}", run.name, run.state(), run.reason);
    for path in client.download(&run.model, Path::new(folder)).await? {
        println!("{}", path.display());
    }
    Ok(())
}
