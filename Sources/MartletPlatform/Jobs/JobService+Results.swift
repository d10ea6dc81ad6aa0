import Foundation
import MartletStore
import MartletWire

/// What becomes of what a worker leaves.
extension JobService {
    func publish(_ id: String) async {
        guard let run = runs[id], let result = run.result else { return }
        do {
            var model: NewModel?
            if let bundle = result.bundle {
                try RelativePath.check(bundle)
                let name = try Self.modelName(run)
                model = try await readBundle("\(folder(of: id))/\(bundle)", name: name, jobID: id)
            }
            defer { model.map { folders.blobs.unpin($0.tree.files.map(\.hash)) } }
            let (report, outcome) = try await tuned(run, result, model)
            defer { outcome.map { folders.blobs.unpin($0.tree.files.map(\.hash)) } }
            var used = usage(of: run, cpuSeconds: result.usage.cpuSeconds)
            (used.requests, used.rows) = (1, max(0, result.usage.rows))
            used.promptTokens = max(0, result.usage.trainedTokens ?? 0)
            let reference = try await store.succeed(
                job: id, model: model, result: report, tuning: outcome, usage: used, at: clock.now())
            for event in outcome?.events ?? [] {
                if let kept = try? await store.event(ofJob: id, key: event.key) {
                    followers.publish(.event(kept), job: id)
                }
            }
            if run.job.info.kind == .import { await setProfile(result.report, run) }
            if let reference, let model { await deploy(reference, model.card, run) }
            enqueue(.published(nil), job: id)
        } catch {
            let error = error as? MartletError ?? MartletError(.internal, "the result could not be stored: \(error)")
            enqueue(.published(error), job: id)
            return
        }
        await announce(id)
    }

    /// What a fine-tuning job leaves besides its model, and its report with that named in it.
    private func tuned(_ run: Run, _ result: JobResult, _ model: NewModel?) async throws -> (JSON, TuningOutcome?) {
        guard run.job.info.kind == .fineTune else { return (result.report, nil) }
        guard let model else { throw MartletError(.internal, "the worker left no model; start the job again") }
        try Self.checkBase(model, run)
        let alias = try await tunedNames(run).alias
        var report = result.report.object ?? [:]
        report["fine_tuned_model"] = .string(alias)
        report["trained_tokens"] = result.usage.trainedTokens.map { JSON($0) }
        return (.object(report), try await tuningOutcome(run, alias: alias))
    }

    /// What the model is called: as the import was, or as the recipe says.
    private static func modelName(_ run: Run) throws -> String {
        if let upload = run.inputs.first(where: { $0.kind == JobInput.upload }) { return upload.name }
        guard let recipe = run.job.request.recipe else { throw incomplete(run.job.info.id) }
        return try RecipeReader.read(json: recipe).recipe.name
    }

    /// Off the actor: hashing a large model takes seconds.
    nonisolated func readBundle(_ folder: String, name: String, jobID: String) async throws -> NewModel {
        try BundleReader(blobs: folders.blobs).read(folder, name: name, jobID: jobID)
    }

    func setProfile(_ profile: JSON, _ run: Run) async {
        guard let input = run.inputs.first, input.kind == "dataset" else { return }
        do {
            try await store.setProfile(
                job: run.job.info.id, result: profile, ofDataset: input.name, version: input.version,
                projectID: run.job.projectID)
        } catch {
            logger.error("the profile of \(input.resolved) could not be stored: \(error)")
        }
    }

    /// As the recipe's `deploy` section asks, unless a requirement was missed.
    private func deploy(_ reference: String, _ card: ModelCard, _ run: Run) async {
        let id = run.job.info.id
        guard let recipe = run.job.request.recipe, let wanted = try? RecipeReader.read(json: recipe).recipe.deploy
        else { return }
        guard card.unmetRequirements.isEmpty else {
            await note(
                "not-deployed",
                "\(reference) is kept but not deployed: \(card.unmetRequirements.joined(separator: "; "))",
                job: id)
            return
        }
        let principal = Principal(
            keyID: run.job.keyID, project: run.job.projectID, projectName: "", role: .developer)
        do {
            let request = DeploymentRequest(
                model: reference, name: wanted.as.isEmpty ? nil : wanted.as, replicas: wanted.replicas)
            let deployment = try await deployments.deploy(request, wait: false, by: principal)
            try await store.setDeployment(deployment.name, ofJob: id)
        } catch {
            await note("not-deployed", "\(reference) was not deployed: \(error)", job: id)
        }
    }
}
