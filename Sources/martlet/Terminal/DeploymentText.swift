import MartletWire

/// Deployments as text.
enum DeploymentText {
    static func list(_ page: Page<DeploymentInfo>) -> String {
        var table = Table(["NAME", "MODEL", "STATE", ">REPLICAS", "CHANGED"])
        for item in page.data {
            let ready = item.replicaStates.count { $0.state == .ready }
            table.add([
                item.name, item.model + ((item.gate?.model ?? item.nextModel).map { " → \($0)" } ?? ""),
                item.ready ? "ready" : "not ready",
                "\(ready)/\(item.replicas)", Format.time(item.updatedAt),
            ])
        }
        return table.isEmpty ? "no deployments; make one with: martlet deploy MODEL" : table.text
    }

    static func whole(_ item: DeploymentInfo) -> String {
        var table = Table(["", ""])
        table.add(["name", item.name])
        table.add(["model", item.model])
        table.add(["state", item.ready ? "ready" : "not ready"])
        if let next = item.nextModel { table.add(["next", next]) }
        if let previous = item.previousModel { table.add(["before", previous]) }
        if let gate = item.gate { table.add(["gate", "\(gate.model) waits for the run \(gate.run) of \(gate.eval)"]) }
        if let error = item.error { table.add(["error", error]) }
        for replica in item.replicaStates {
            var text = "\(replica.id)  \(replica.state.rawValue)"
            if let pid = replica.pid { text += "  process \(pid)" }
            if replica.restarts > 0 { text += "  restarts \(replica.restarts)" }
            if let error = replica.error { text += "  \(error)" }
            table.add(["replica", text])
        }
        return table.text
    }
}
