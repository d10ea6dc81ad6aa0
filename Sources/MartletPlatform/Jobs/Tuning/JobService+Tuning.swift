import Foundation
import MartletStore
import MartletWire

/// What fine-tuning jobs leave: checkpoints that answer, the final model under its `ft:` id, a table of metrics.
extension JobService {
    /// Registers a checkpoint; repeated by a worker that got no answer it changes nothing. While the disk is full it
    /// waits for room.
    func register(_ checkpoint: TunedCheckpoint, job id: String) async throws {
        guard let run = runs[id], run.job.info.kind == .fineTune, checkpoint.step >= 0 else {
            throw MartletError(.invalidRequest, "job \(id) does not tune a model, or the checkpoint's step is wrong")
        }
        try RelativePath.check(checkpoint.bundle)
        while true {
            do {
                return try await tryToRegister(checkpoint, run)
            } catch let error as MartletError where error.code == .storageFull && runs[id] != nil && !isStopping {
                logger.error("a checkpoint of job \(id) waits for room: \(error.message)")
                try await clock.sleep(.seconds(2))
            }
        }
    }

    private func tryToRegister(_ checkpoint: TunedCheckpoint, _ run: Run) async throws {
        let id = run.job.info.id
        if try await store.checkpoint(ofJob: id, step: checkpoint.step) != nil { return }
        let (name, alias) = try await tunedNames(run)
        let model = try await readBundle("\(folder(of: id))/\(checkpoint.bundle)", name: name, jobID: id)
        defer { folders.blobs.unpin(model.tree.files.map(\.hash)) }
        try Self.checkBase(model, run)
        let registered = try await store.register(
            checkpoint, ofJob: id, id: "ftckpt_\(try [UInt8].random(count: 12).hex)", model: model,
            alias: TuningNames.checkpoint(alias, step: checkpoint.step), at: clock.now())
        guard let (info, isNew) = registered, isNew else { return }
        await note(
            "tuned-checkpoint-\(info.step)", "Checkpoint created at step \(info.step)", level: "info",
            data: ["step": JSON(info.step), "model": .string(info.model), "alias": .string(info.alias)], job: id)
    }

    /// The registry's name and the `ft:` id of what the job makes.
    func tunedNames(_ run: Run) async throws -> (model: String, alias: String) {
        guard let recipe = run.job.request.recipe, let base = recipe["base"]?.string else {
            throw MartletError(.internal, "job \(run.job.info.id) is stored without its base; start a new one")
        }
        let organization = try await store.project(run.job.projectID)?.name ?? run.job.projectID
        let names = TuningNames(base: base, suffix: run.job.request.tuning?["suffix"]?.string)
        return (
            try RecipeReader.read(json: recipe).recipe.name,
            names.alias(organization: organization, jobID: run.job.info.id)
        )
    }

    /// An adapter must be made for the very base that the job was given.
    static func checkBase(_ model: NewModel, _ run: Run) throws {
        guard let base = model.signature.language?.base else { return }
        guard run.inputs.contains(where: { $0.kind == "model" && $0.treeHash == base.contentHash }) else {
            throw MartletError(
                .internal, "the adapter names the base '\(base.reference)', which is not the one of this job")
        }
    }

    /// The alias and the table of metrics of a job that is about to succeed. The table's blob is pinned.
    func tuningOutcome(_ run: Run, alias: String) async throws -> TuningOutcome {
        let id = run.job.info.id
        let stored = try folders.blobs.store(Array(try await metricsTable(of: id).utf8))
        let filename = "step_metrics.csv"
        let tree = try Tree(files: [TreeFile(path: filename, hash: stored.hash, byteCount: stored.byteCount)])
        let file = FileInfo(
            id: "file-\(try [UInt8].random(count: 12).hex)", filename: filename, purpose: .fineTuneResults,
            byteCount: stored.byteCount, createdAt: clock.now(), contentHash: tree.hash, jobID: id)
        return TuningOutcome(
            alias: alias, file: file, tree: tree,
            events: [
                JobEvent(
                    key: "tuned-model", type: "message", message: "New fine-tuned model created: \(alias)",
                    data: ["model": .string(alias)]),
                JobEvent(key: "succeeded", type: "message", message: "The job has successfully completed"),
            ])
    }

    private func metricsTable(of id: String) async throws -> String {
        var table = TuningTable()
        var last = 0
        while case let events = try await store.events(ofJob: id, after: last, limit: 1000), let end = events.last {
            for event in events { table.add(event.event) }
            last = end.sequence
        }
        return table.text
    }
}

/// The steps of a fine-tuning job as CSV, with OpenAI's columns.
struct TuningTable {
    private static let columns = [
        ("step", "step"), ("train_loss", "train_loss"), ("train_accuracy", "train_mean_token_accuracy"),
        ("valid_loss", "valid_loss"), ("valid_mean_token_accuracy", "valid_mean_token_accuracy"),
    ]
    private(set) var text = columns.map(\.0).joined(separator: ",") + "\n"

    /// A row for a step's metrics; what was not measured at it is left empty.
    mutating func add(_ event: JobEvent) {
        guard event.type == "metrics", event.data["step"]?.int != nil else { return }
        text += Self.columns.map { event.data[$0.1].flatMap(Self.cell) ?? "" }.joined(separator: ",") + "\n"
    }

    private static func cell(_ value: JSON) -> String? {
        value.double == nil ? nil : value.serialized()
    }
}
