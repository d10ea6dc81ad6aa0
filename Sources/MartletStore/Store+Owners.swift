import GRDB
import MartletWire

/// What belongs to a project and is asked for by id or name.
package enum OwnedThing: String, Sendable, CaseIterable {
    case job, file, upload, batch, eval, evalRun = "eval_run", response, chatCompletion = "chat_completion", dataset,
        model, deployment

    fileprivate var table: String {
        switch self {
        case .job: "jobs"
        case .file: "files"
        case .upload: "uploads"
        case .batch: "batches"
        case .eval: "evals"
        case .evalRun: "eval_runs"
        case .response: "responses"
        case .chatCompletion: "chat_completions"
        case .dataset: "datasets"
        case .model: "models"
        case .deployment: "deployments"
        }
    }

    fileprivate var column: String {
        switch self {
        case .dataset, .model, .deployment: "name"
        default: "id"
        }
    }
}

extension Store {
    /// Whether another project than `projectID` has this; `reference` is an id, a name, `name@version` or an `ft:` id.
    package func belongsElsewhere(
        _ thing: OwnedThing, _ reference: String, projectID: String
    ) async throws -> Bool {
        if thing == .model, reference.hasPrefix("ft:") {
            return try await exists("model_aliases", "alias", reference, beside: projectID)
        }
        let isNamed = thing == .model || thing == .dataset
        let name = isNamed ? String(reference.prefix { $0 != "@" }) : reference
        return try await exists(thing.table, thing.column, name, beside: projectID)
    }

    private func exists(_ table: String, _ column: String, _ value: String, beside projectID: String) async throws
        -> Bool
    {
        try await read { db in
            try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM \(table) WHERE \(column) = ? AND project_id != ?)",
                arguments: [value, projectID]) ?? false
        }
    }
}
