//! The endpoints of the engine that Windlass needs, for a proxy in front of the engine that allows only some.

/// The endpoints, each with its use. `ID` and `NAME` stand for one part of a path. The table in `MANUAL.md` lists the same.
const ENDPOINTS: [(&str, &str); 33] = [
    ("GET /_ping", "Windlass checks with it whether the engine answers"),
    ("GET /version", "Windlass chooses the API version with it"),
    ("GET /info", "without it, Windlass treats the engine as not rootless and relies on this machine's clock"),
    ("GET /events", "without it, changes are noticed at the next interval, and `docker stop` is undone"),
    ("GET /containers/json", "without it, Windlass sees no replicas and does nothing"),
    ("GET /containers/ID/json", "without it, replicas are unknown: neither ready nor repaired"),
    (
        "GET /containers/ID/changes",
        "without it, secrets that Compose copied into a container are not noticed, and its copies lack them",
    ),
    ("GET /containers/ID/stats", "without it, replicas whose kernel files are not readable have no resource use"),
    ("GET /containers/ID/logs", "without it, `GET /containers/{name_or_id}/logs` is refused"),
    ("POST /containers/create", "without it, no replica is created"),
    ("POST /containers/ID/start", "without it, no replica is started"),
    ("POST /containers/ID/kill", "without it, no replica is stopped"),
    ("POST /containers/ID/wait", "without it, Windlass polls the container until it has stopped"),
    ("DELETE /containers/ID", "without it, no replica is removed"),
    ("POST /containers/ID/exec", "without it, probes, metrics and stop hooks by command do not work"),
    ("POST /exec/ID/start", "without it, probes, metrics and stop hooks by command do not work"),
    ("GET /exec/ID/json", "without it, probes, metrics and stop hooks by command do not work"),
    ("GET /images/NAME/json", "without it, the image that a tag stands for is unknown"),
    ("POST /images/create", "without it, missing images are not pulled"),
    (
        "GET /networks/ID",
        "without it, workloads with `networks` are not created, and the drivers of networks are unknown",
    ),
    ("POST /networks/ID/connect", "without it, a replica joins only its first network"),
    ("GET /services", "on a Swarm: without it, Windlass sees no services and does nothing"),
    ("GET /services/ID", "on a Swarm: without it, no service is changed"),
    ("GET /tasks", "on a Swarm: without it, Windlass sees no replicas and does nothing"),
    ("GET /tasks/ID", "on a Swarm: without it, `GET /containers/{name_or_id}/logs` is refused"),
    ("GET /tasks/ID/logs", "on a Swarm: without it, `GET /containers/{name_or_id}/logs` is refused"),
    ("GET /nodes", "on a Swarm: without it, Windlass cannot tell which tasks are on dead nodes, and does nothing"),
    ("POST /services/ID/update", "on a Swarm: without it, the count of a service is not changed"),
    ("POST /services/create", "on a Swarm: without it, workloads of start requests are not created"),
    ("DELETE /services/ID", "on a Swarm: without it, the services of start requests are not removed"),
    ("GET /configs/ID", "on a Swarm: without it, Windlass never acts, because another one might"),
    ("POST /configs/create", "on a Swarm: without it, Windlass never acts, because another one might"),
    ("POST /configs/ID/update", "on a Swarm: without it, Windlass stops acting after 22 s"),
];

/// The endpoint of a request, such as `POST /containers/ID/exec`, and its use. The use is empty for an unknown endpoint.
pub(crate) fn endpoint(method: &str, path: &str) -> (String, &'static str) {
    let parts: Vec<&str> = path.split('/').collect();
    let matches = |pattern: &str| {
        let Some((of, pattern)) = pattern.split_once(' ') else { return false };
        let pattern: Vec<&str> = pattern.split('/').collect();
        // Names of images contain slashes.
        let is_image = pattern.contains(&"NAME") && parts.len() >= pattern.len() && parts.last() == pattern.last();
        let is_same = |(part, wanted): (&&str, &&str)| part == wanted || *wanted == "ID";
        of == method
            && ((is_image && parts.get(1) == pattern.get(1))
                || (parts.len() == pattern.len() && parts.iter().zip(&pattern).all(is_same)))
    };
    // An exact path comes before a pattern: `/containers/create` is no container.
    let exact = ENDPOINTS.iter().find(|(pattern, _)| *pattern == format!("{method} {path}"));
    match exact.or_else(|| ENDPOINTS.iter().find(|(pattern, _)| matches(pattern))) {
        Some((pattern, usage)) => ((*pattern).to_owned(), usage),
        None => (format!("{method} {path}"), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_recognized_by_its_pattern() {
        for (method, path, expected) in [
            ("GET", "/containers/json", "GET /containers/json"),
            ("GET", "/containers/ab12/json", "GET /containers/ID/json"),
            ("POST", "/containers/create", "POST /containers/create"),
            ("DELETE", "/containers/ab12", "DELETE /containers/ID"),
            ("GET", "/images/registry:5000/team/app/json", "GET /images/NAME/json"),
            ("GET", "/swarm", "GET /swarm"),
            ("GET", "/services/shop_web", "GET /services/ID"),
            ("POST", "/services/create", "POST /services/create"),
            ("POST", "/services/ab12/update", "POST /services/ID/update"),
        ] {
            assert_eq!(endpoint(method, path).0, expected);
        }
        assert!(endpoint("POST", "/containers/ab12/exec").1.contains("probes"));
        assert_eq!(endpoint("GET", "/swarm").1, "");
    }

    #[test]
    fn the_manual_lists_the_endpoints_and_what_they_are_for() {
        let manual = include_str!("../../../MANUAL.md");
        let missing: Vec<String> = ENDPOINTS
            .iter()
            .map(|(endpoint, usage)| format!("| `{endpoint}` | {usage} |"))
            .filter(|row| !manual.contains(row))
            .collect();
        assert!(missing.is_empty(), "MANUAL.md needs these rows:\n{}", missing.join("\n"));
    }
}
