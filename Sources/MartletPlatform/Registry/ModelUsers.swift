import MartletStore
import MartletText
import MartletWire

/// Work under way that asks models by name: graders of training jobs, and eval runs with theirs.
struct ModelUsers: Sendable {
    let store: Store

    /// What asks one of these models (`name@version`), in words. What asks a deployment needs that, and is not counted.
    func users(ofModels references: Set<String>, projectID: String) async throws -> [String] {
        let deployed = try await deployments(projectID)
        var users: [String] = []
        for (name, user) in try await asked(projectID) where !deployed.contains(name) {
            guard let model = try await store.resolveModel(name, projectID: projectID) else { continue }
            if references.contains(model.reference) { users.append(user) }
        }
        return users
    }

    /// What asks a deployment whose name no model has too, in words.
    func users(ofDeployment name: String, projectID: String) async throws -> [String] {
        guard try await store.resolveModel(name, projectID: projectID) == nil else { return [] }
        return try await asked(projectID).filter { $0.name == name }.map(\.user)
    }

    private func deployments(_ projectID: String) async throws -> Set<String> {
        Set(try await store.deployments().filter { $0.projectID == projectID }.map(\.name))
    }

    /// The names as they are asked for, each with who asks.
    private func asked(_ projectID: String) async throws -> [(name: String, user: String)] {
        var found: [(name: String, user: String)] = []
        for job in try await store.unfinishedJobs() where job.projectID == projectID {
            for name in (try? JobService.graderModels(job.request)) ?? [] { found.append((name, "job \(job.info.id)")) }
        }
        for run in try await store.unfinishedEvalRuns() where run.projectID == projectID {
            var names = run.info.model.isEmpty ? [] : [run.info.model]
            let eval = try await store.eval(run.evalID, projectID: projectID)
            names += (try? eval?.definition().criteria.flatMap(\.grader.models)) ?? []
            for name in Set(names).sorted() { found.append((name, "eval run \(run.id)")) }
        }
        return found
    }
}
