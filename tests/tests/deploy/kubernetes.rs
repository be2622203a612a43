//! `deploy/kubernetes/`: the manifests, each against itself and against the others.

use crate::files::{self, Value, at, find, list, mapping, scalar};
use crate::image;
use crate::launch::Launch;

const FOLDER: &str = "deploy/kubernetes";
const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];

/// Every object of every manifest that the kustomization lists.
fn objects() -> Vec<Value> {
    let kustomization = files::document(&format!("{FOLDER}/kustomization.yaml"));
    let manifests = list(find(&kustomization, "resources"));
    assert_eq!(manifests, ["api.yaml", "worker.yaml"]);
    manifests
        .iter()
        .flat_map(|file| files::documents(&format!("{FOLDER}/{file}")))
        .collect()
}

fn of_kind(kind: &str) -> Vec<Value> {
    objects()
        .into_iter()
        .filter(|object| scalar(at(object, "kind")) == kind)
        .collect()
}

fn name(object: &Value) -> String {
    scalar(at(object, "metadata.name"))
}

fn pod(deployment: &Value) -> &Value {
    at(deployment, "spec.template.spec")
}

fn container(deployment: &Value) -> &Value {
    assert_eq!(
        at(pod(deployment), "containers")
            .as_sequence()
            .map(Vec::len),
        Some(1)
    );
    at(pod(deployment), "containers.0")
}

pub(crate) fn launches() -> Vec<Launch> {
    of_kind("Deployment").iter().map(launch).collect()
}

fn launch(deployment: &Value) -> Launch {
    let container = container(deployment);
    assert!(
        find(container, "command").is_none(),
        "the image has no entry point to replace"
    );
    let place = format!("{FOLDER} {}", name(deployment));
    let mut launch = Launch::new(&place, &list(find(container, "args")));
    launch.variables = image::variables();
    for variable in at(container, "env").as_sequence().into_iter().flatten() {
        let value = find(variable, "value").map(scalar).unwrap_or_default();
        launch.variables.insert(scalar(at(variable, "name")), value);
    }
    let grace = scalar(at(pod(deployment), "terminationGracePeriodSeconds"));
    let before = find(container, "lifecycle.preStop.sleep.seconds").map(scalar);
    let before = files::duration(before.as_deref().unwrap_or("0"));
    launch.grace = Some(files::duration(&grace) - before);
    let annotations = mapping(find(deployment, "spec.template.metadata.annotations"));
    let scraped = annotations
        .into_iter()
        .find(|(key, _)| key == "prometheus.io/path");
    launch.probes.extend(scraped.map(|(_, path)| path));
    for probe in PROBES {
        launch
            .probes
            .extend(find(container, &format!("{probe}.httpGet.path")).map(scalar));
    }
    launch
}

/// The named port of the container.
fn port(deployment: &Value, wanted: &str) -> String {
    let ports = at(container(deployment), "ports")
        .as_sequence()
        .expect("ports are a list");
    let port = ports.iter().find(|port| scalar(at(port, "name")) == wanted);
    let port = port.unwrap_or_else(|| panic!("{}: no port {wanted}", name(deployment)));
    scalar(at(port, "containerPort"))
}

/// The port that the program really listens on.
fn bound_port(launch: &Launch) -> String {
    match launch.program.as_str() {
        "worker" => {
            let address = launch
                .flag("--metrics-listen")
                .expect("probes need the listener");
            address.rsplit_once(':').expect("IP:PORT").1.to_owned()
        }
        _ => launch.variables["PORT"].clone(),
    }
}

#[test]
fn probes_and_scrapes_go_to_the_port_that_is_bound() {
    for deployment in of_kind("Deployment") {
        let launch = launch(&deployment);
        let bound = bound_port(&launch);
        let mut probed = 0;
        for probe in PROBES {
            if let Some(named) = find(container(&deployment), &format!("{probe}.httpGet.port")) {
                assert_eq!(
                    port(&deployment, &scalar(named)),
                    bound,
                    "{} {probe}",
                    launch.place
                );
                probed += 1;
            }
        }
        assert!(probed >= 2, "{}: only {probed} probes", launch.place);
        let annotations = mapping(find(&deployment, "spec.template.metadata.annotations"));
        let annotation = |name: &str| annotations.iter().find(|(key, _)| key == name);
        // The API's metrics want a token, which an annotation cannot give.
        let scraped = annotation("prometheus.io/port").map(|(_, port)| port);
        let expected = (launch.program == "worker").then_some(&bound);
        assert_eq!(scraped, expected, "{}", launch.place);
    }
}

#[test]
fn the_service_finds_the_api() {
    let services = of_kind("Service");
    assert_eq!(services.len(), 1);
    let deployments = of_kind("Deployment");
    let api = deployments
        .iter()
        .find(|deployment| name(deployment) == "leasectl-api");
    let api = api.expect("there is an API");
    let selector = mapping(find(&services[0], "spec.selector"));
    let labels = mapping(find(api, "spec.template.metadata.labels"));
    assert!(selector.iter().all(|label| labels.contains(label)));
    let target = scalar(at(&services[0], "spec.ports.0.targetPort"));
    assert_eq!(port(api, &target), "8080");
}

#[test]
fn selectors_match_the_labels_of_their_pods() {
    let deployments = of_kind("Deployment");
    for object in deployments.iter().chain(&of_kind("PodDisruptionBudget")) {
        let deployment = deployments
            .iter()
            .find(|deployment| name(deployment) == name(object));
        let deployment = deployment.unwrap_or_else(|| panic!("nothing called {}", name(object)));
        let labels = mapping(find(deployment, "spec.template.metadata.labels"));
        let selector = mapping(find(object, "spec.selector.matchLabels"));
        assert!(!selector.is_empty() && selector.iter().all(|label| labels.contains(label)));
    }
}

#[test]
fn pods_satisfy_the_restricted_security_standard() {
    for deployment in of_kind("Deployment") {
        let place = name(&deployment);
        let pod = pod(&deployment);
        assert_eq!(
            at(pod, "securityContext.runAsNonRoot").as_bool(),
            Some(true),
            "{place}"
        );
        let user = scalar(at(pod, "securityContext.runAsUser"));
        assert_eq!(user, "10001", "{place} must run as the user of the image");
        let profile = scalar(at(pod, "securityContext.seccompProfile.type"));
        assert_eq!(profile, "RuntimeDefault", "{place}");
        assert_eq!(
            at(pod, "automountServiceAccountToken").as_bool(),
            Some(false),
            "{place}"
        );
        let own = at(container(&deployment), "securityContext");
        assert_eq!(
            at(own, "allowPrivilegeEscalation").as_bool(),
            Some(false),
            "{place}"
        );
        assert_eq!(
            at(own, "readOnlyRootFilesystem").as_bool(),
            Some(true),
            "{place}"
        );
        assert_eq!(list(find(own, "capabilities.drop")), ["ALL"], "{place}");
        for limit in ["cpu", "memory"] {
            let path = format!("resources.limits.{limit}");
            assert!(
                find(container(&deployment), &path).is_some(),
                "{place}: no {path}"
            );
        }
    }
}

#[test]
fn secrets_are_referred_to_and_never_written_down() {
    assert!(of_kind("Secret").is_empty());
    for deployment in of_kind("Deployment") {
        for variable in at(container(&deployment), "env")
            .as_sequence()
            .into_iter()
            .flatten()
        {
            let secret = ["DATABASE_URL", "DATABASE_DIRECT_URL", "LEASECTL_API_TOKEN"];
            if secret.contains(&scalar(at(variable, "name")).as_str()) {
                assert!(find(variable, "value").is_none(), "{}", name(&deployment));
                assert_eq!(
                    scalar(at(variable, "valueFrom.secretKeyRef.name")),
                    "leasectl"
                );
            }
        }
    }
}

#[test]
fn clones_live_in_a_volume_that_is_larger_than_the_disk_budget() {
    let deployments = of_kind("Deployment");
    let worker = deployments
        .iter()
        .find(|deployment| name(deployment) == "leasectl-worker");
    let worker = worker.expect("there is a worker");
    let launch = launch(worker);
    let clones = &launch.variables["LEASECTL_REPOS_DIR"];
    let mounts = at(container(worker), "volumeMounts")
        .as_sequence()
        .expect("a list");
    let mount = mounts
        .iter()
        .find(|mount| clones.starts_with(&format!("{}/", scalar(at(mount, "mountPath")))));
    let volume = scalar(at(mount.expect("the clones lie in a volume"), "name"));
    let volumes = at(pod(worker), "volumes").as_sequence().expect("a list");
    let volume = volumes
        .iter()
        .find(|other| scalar(at(other, "name")) == volume);
    let limit = scalar(at(volume.expect("the volume exists"), "emptyDir.sizeLimit"));
    let budget = launch.flag("--disk-budget").expect("the disk has a budget");
    assert!(
        files::bytes(&limit) > files::bytes(budget),
        "{limit} for a budget of {budget}"
    );
    let storage = scalar(at(container(worker), "resources.limits.ephemeral-storage"));
    assert!(
        files::bytes(&storage) >= files::bytes(&limit),
        "{storage} for {limit}"
    );
}

#[test]
fn every_mount_has_its_volume() {
    for deployment in of_kind("Deployment") {
        let volumes = at(pod(&deployment), "volumes")
            .as_sequence()
            .expect("a list");
        let names: Vec<String> = volumes
            .iter()
            .map(|volume| scalar(at(volume, "name")))
            .collect();
        let mounts = at(container(&deployment), "volumeMounts")
            .as_sequence()
            .expect("a list");
        let mut mounted: Vec<String> = mounts
            .iter()
            .map(|mount| scalar(at(mount, "name")))
            .collect();
        mounted.sort();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(mounted, sorted, "{}", name(&deployment));
    }
}
