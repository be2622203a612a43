//! What an index costs and what it answers, in a worker process like any other.

mod branches;
mod corpus;
mod extraction;
mod first;
mod hostile;
mod peers;
mod queries;
mod world;

use crate::cli::{IndexCase, IndexOptions};
use crate::error::BenchError;
use crate::report::Report;
use crate::server::Server;

use self::corpus::SourceFile;
pub(super) use self::world::{Done, World};

pub(crate) async fn run(server: &Server, options: &IndexOptions) -> Result<(), BenchError> {
    let files = corpus::collect(&options.corpus, options.bytes)?;
    for case in &options.cases {
        match case {
            IndexCase::First => first::run(server, options, &files).await?,
            IndexCase::Search => queries::run(server, options, &files).await?,
            IndexCase::Branches => branches::run(server, options, &files).await?,
            IndexCase::Hostile => hostile::run(server).await?,
        }
    }
    Ok(())
}

fn report(name: &'static str, files: &[SourceFile]) -> Report {
    let mut report = Report::new(name);
    report.note(Server::describe());
    report.note(format!(
        "{} source files, {:.1} MB; one worker process that indexes one ref at a time",
        files.len(),
        megabytes(corpus::total(files))
    ));
    report
}

fn megabytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1e6
}
