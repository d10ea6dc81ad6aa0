import Foundation
import MartletStore
import MartletWire

/// What a worker is told to do.
extension JobService {
    func task(of run: Run) async throws -> EngineTask {
        let id = run.job.info.id
        let directory = folder(of: id)
        try DurableFile.makeFolder(directory)
        let share = MachineShare(threads: threads, device: run.job.request.device ?? "cpu")
        var mounts: [DatasetMount] = []
        for input in run.inputs where input.kind == "dataset" {
            mounts.append(
                DatasetMount(
                    reference: input.reference, resolved: input.resolved, contentHash: input.treeHash,
                    path: try await path(of: input)))
        }
        switch run.job.info.kind {
        case .import:
            if let upload = run.inputs.first(where: { $0.kind == JobInput.upload }) {
                var base: BaseModel?
                if let model = run.inputs.first(where: { $0.kind == "model" }) {
                    base = BaseModel(
                        reference: model.resolved, contentHash: model.treeHash,
                        path: try await path(of: model))
                }
                return .importModel(
                    ImportTask(
                        jobID: id, name: upload.name,
                        source: try await path(of: upload), base: base, directory: directory, share: share))
            }
            guard let mount = mounts.first else { throw Self.incomplete(id) }
            return .profile(ProfileTask(jobID: id, dataset: mount, directory: directory))
        case .evaluate:
            let models = run.inputs.filter { $0.kind == "model" }
            guard let mount = mounts.first, let model = models.first else { throw Self.incomplete(id) }
            var base: String?
            if models.count > 1 { base = try await path(of: models[1]) }
            return .evaluate(
                EvaluateTask(
                    jobID: id, bundle: try await path(of: model), base: base,
                    precision: configuration.languagePrecision, dataset: mount, directory: directory, share: share))
        case .train, .fineTune, .optimize, .batch:
            return .train(
                TrainTask(
                    jobID: id, recipe: run.job.request.recipe ?? .null, datasets: mounts, base: try await base(of: run),
                    directory: directory, share: share))
        }
    }

    /// The model that a job trains further; of an adapter, also the one that it stands on.
    private func base(of run: Run) async throws -> BaseModel? {
        guard let reference = run.job.request.recipe?["base"]?.string else { return nil }
        let models = run.inputs.filter { $0.kind == "model" }
        guard let named = models.first(where: { $0.reference == reference }) else {
            throw Self.incomplete(run.job.info.id)
        }
        let path = try await path(of: named)
        guard let whole = models.first(where: { $0.reference != reference }) else {
            return BaseModel(reference: named.resolved, contentHash: named.treeHash, path: path)
        }
        return BaseModel(
            reference: whole.resolved, contentHash: whole.treeHash,
            path: try await self.path(of: whole), adapterReference: named.resolved, adapterPath: path)
    }

    private func path(of input: JobInput) async throws -> String {
        try await folders.folder(ofTree: input.treeHash, in: store)
    }

    static func incomplete(_ id: String) -> MartletError {
        MartletError(.internal, "job \(id) is stored without what it reads; start a new one")
    }
}
