//! `deploy/railway.json` and `deploy/railway.worker.json`.

use crate::files::{self, at, find, scalar};
use crate::launch::Launch;

const FILES: [&str; 2] = ["deploy/railway.json", "deploy/railway.worker.json"];

pub(crate) fn launches() -> Vec<Launch> {
    FILES.iter().map(|file| launch(file)).collect()
}

fn launch(file: &str) -> Launch {
    let document = files::document(file);
    let command = scalar(at(&document, "deploy.startCommand"));
    let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let mut launch = Launch::new(file, &words);
    launch.grace = Some(files::duration(&scalar(at(
        &document,
        "deploy.drainingSeconds",
    ))));
    launch
        .probes
        .extend(find(&document, "deploy.healthcheckPath").map(scalar));
    launch
}

#[test]
fn railway_builds_the_image() {
    for file in FILES {
        let document = files::document(file);
        assert_eq!(
            scalar(at(&document, "build.builder")),
            "DOCKERFILE",
            "{file}"
        );
        let dockerfile = scalar(at(&document, "build.dockerfilePath"));
        assert!(
            files::top().join(&dockerfile).is_file(),
            "{file}: {dockerfile}"
        );
    }
}

#[test]
fn railway_probes_the_api_and_not_the_worker() {
    let [api, worker] = FILES.map(launch);
    assert_eq!(
        (api.program.as_str(), api.probes),
        ("leasectl-api", vec!["/readyz".to_owned()])
    );
    assert_eq!(worker.program, "worker");
    assert!(worker.probes.is_empty(), "a worker does not listen on PORT");
}
