//! `deploy/compose.yaml`: PostgreSQL, the API and two workers.

use crate::files::{self, Value, at, find, list, mapping, scalar};
use crate::image;
use crate::launch::Launch;

const FILE: &str = "deploy/compose.yaml";

fn services() -> Vec<(String, Value)> {
    let file = files::document(FILE);
    let services = at(&file, "services")
        .as_mapping()
        .expect("services are a mapping")
        .clone();
    services
        .into_iter()
        .map(|(name, service)| (scalar(&name), service))
        .collect()
}

fn ours() -> Vec<(String, Value)> {
    services()
        .into_iter()
        .filter(|(name, _)| name != "postgres")
        .collect()
}

pub(crate) fn launches() -> Vec<Launch> {
    ours()
        .iter()
        .map(|(name, service)| launch(name, service))
        .collect()
}

fn launch(name: &str, service: &Value) -> Launch {
    let mut launch = Launch::new(&format!("{FILE} {name}"), &list(find(service, "command")));
    launch.variables = image::variables();
    launch
        .variables
        .extend(mapping(find(service, "environment")));
    launch.grace = Some(files::duration(&scalar(at(service, "stop_grace_period"))));
    launch
}

#[test]
fn compose_starts_a_database_an_api_and_two_workers() {
    let names: Vec<String> = services().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["postgres", "api", "worker-1", "worker-2"]);
}

#[test]
fn our_services_wait_until_the_database_answers() {
    let file = files::document(FILE);
    let test = list(find(&file, "services.postgres.healthcheck.test"));
    assert_eq!(test[..2], ["CMD", "pg_isready"]);
    assert!(
        test.contains(&"127.0.0.1".to_owned()),
        "its socket answers too early"
    );
    for (name, service) in ours() {
        let condition = scalar(at(&service, "depends_on.postgres.condition"));
        assert_eq!(condition, "service_healthy", "{name}");
    }
}

#[test]
fn our_services_are_built_from_the_image_and_confined() {
    for (name, service) in ours() {
        assert_eq!(
            scalar(at(&service, "build.dockerfile")),
            "deploy/Dockerfile",
            "{name}"
        );
        assert_eq!(scalar(at(&service, "build.context")), "..", "{name}");
        assert_eq!(at(&service, "read_only").as_bool(), Some(true), "{name}");
        assert_eq!(list(find(&service, "cap_drop")), ["ALL"], "{name}");
        assert_eq!(
            list(find(&service, "security_opt")),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert!(
            find(&service, "mem_limit").is_some(),
            "{name} may take all memory"
        );
    }
}

#[test]
fn the_published_port_is_the_one_the_api_listens_on() {
    let file = files::document(FILE);
    let api = at(&file, "services.api");
    let port = scalar(at(api, "environment.PORT"));
    assert_eq!(list(find(api, "ports")), [format!("127.0.0.1:8080:{port}")]);
    assert_eq!(
        list(find(api, "healthcheck.test")),
        ["CMD", "leasectl-healthcheck"]
    );
}

#[test]
fn the_database_that_is_made_is_the_one_that_is_used() {
    let file = files::document(FILE);
    let postgres = at(&file, "services.postgres.environment");
    let password = scalar(at(postgres, "POSTGRES_PASSWORD"));
    let url = format!(
        "postgres://{}:{password}@postgres:5432/{}",
        scalar(at(postgres, "POSTGRES_USER")),
        scalar(at(postgres, "POSTGRES_DB"))
    );
    for (name, service) in ours() {
        assert_eq!(
            scalar(at(&service, "environment.DATABASE_URL")),
            url,
            "{name}"
        );
    }
}

#[test]
fn the_volumes_of_a_worker_hold_its_clones() {
    let file = files::document(FILE);
    for (name, service) in ours()
        .into_iter()
        .filter(|(name, _)| name.starts_with("worker"))
    {
        let volumes = list(find(&service, "volumes"));
        let (volume, folder) = volumes[0].split_once(':').expect("volume:folder");
        assert!(
            find(&file, &format!("volumes.{volume}")).is_some(),
            "{name}: {volume}"
        );
        let clones = &image::variables()["LEASECTL_REPOS_DIR"];
        assert!(
            clones.starts_with(&format!("{folder}/")),
            "{name}: {clones} is not in {folder}"
        );
    }
}
