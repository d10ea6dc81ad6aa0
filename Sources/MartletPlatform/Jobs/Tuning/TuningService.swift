import Foundation
import MartletStore
import MartletText
import MartletWire

/// Fine-tuning jobs, as OpenAI's API has them: the same jobs that `martlet jobs` and the native API show.
public final class TuningService: Sendable {
    private let store: Store
    private let jobs: JobService
    private let files: FileService
    private let clock: PlatformClock

    init(store: Store, jobs: JobService, files: FileService, clock: PlatformClock) {
        self.store = store
        self.jobs = jobs
        self.files = files
        self.clock = clock
    }

    /// Accepts a job. A repeated request gives the first job, as `JobService.submit` has it.
    ///
    /// Throws `modelNotFound`, `invalidRequest` for a model that cannot be tuned or a file that is not there or not for
    /// this, with the field as `param`.
    public func create(
        _ request: TuningRequest, idempotencyKey: String? = nil, retryCount: Int = 0, by principal: Principal
    ) async throws -> TuningJob {
        try principal.require(.developer)
        if let grader = request.grader { _ = try Grader(grader, path: "method.reinforcement.grader") }
        try await checkFile(request.trainingFile, "training_file", by: principal)
        if let file = request.validationFile { try await checkFile(file, "validation_file", by: principal) }
        let info = try await jobs.submit(
            request.job, idempotencyKey: idempotencyKey, retryCount: retryCount, by: principal)
        return try await show(info.id, by: principal)
    }

    /// A file with the purpose `fine-tune`, or a dataset of the native API.
    private func checkFile(_ reference: String, _ param: String, by principal: Principal) async throws {
        if let file = try await store.file(reference, projectID: principal.project, at: clock.now()) {
            return try FileService.check(file, [.fineTune], param: param)
        }
        if let (name, version) = try? Name.parseReference(reference, what: "dataset"),
            try await store.dataset(name, version: version, projectID: principal.project) != nil
        {
            return
        }
        throw MartletError(
            .invalidRequest,
            "'\(param)' is '\(reference.prefix(80))': there is no such file; upload it with POST /v1/files and the "
                + "purpose 'fine-tune', or name a dataset", param: param)
    }

    public func show(_ id: String, by principal: Principal) async throws -> TuningJob {
        try await described(stored(id, by: principal))
    }

    /// Newest first; `after` is the id of the last job of the page before.
    public func list(
        after: String? = nil, limit: Int = 20, metadata: [String: String] = [:], withoutMetadata: Bool = false,
        by principal: Principal
    ) async throws -> (jobs: [TuningJob], hasMore: Bool) {
        try principal.require(.developer)
        if let after { _ = try await stored(after, param: "after", by: principal) }
        let found = try await store.tuningJobs(
            projectID: principal.project, after: after, limit: limit + 1, metadata: metadata,
            withoutMetadata: withoutMetadata)
        var result: [TuningJob] = []
        for job in found.prefix(limit) { result.append(try await described(job)) }
        return (result, found.count > limit)
    }

    public func cancel(_ id: String, by principal: Principal) async throws -> TuningJob {
        _ = try await stored(id, by: principal)
        _ = try await jobs.cancel(id, by: principal)
        return try await show(id, by: principal)
    }

    public func pause(_ id: String, by principal: Principal) async throws -> TuningJob {
        _ = try await stored(id, by: principal)
        _ = try await jobs.pause(id, by: principal)
        return try await show(id, by: principal)
    }

    public func resume(_ id: String, by principal: Principal) async throws -> TuningJob {
        _ = try await stored(id, by: principal)
        _ = try await jobs.resume(id, by: principal)
        return try await show(id, by: principal)
    }

    /// Newest first, those before the event with the sequence `before`.
    public func events(
        of id: String, before: Int? = nil, limit: Int = 20, by principal: Principal
    ) async throws -> Page<JobEventInfo> {
        _ = try await stored(id, by: principal)
        return Page(try await store.newestEvents(ofJob: id, before: before, limit: limit + 1), limit: limit)
    }

    /// Newest first; `after` is the id of the last checkpoint of the page before.
    public func checkpoints(
        of id: String, after: String? = nil, limit: Int = 10, by principal: Principal
    ) async throws -> Page<TunedCheckpointInfo> {
        _ = try await stored(id, by: principal)
        return Page(try await store.checkpoints(ofJob: id, after: after, limit: limit + 1), limit: limit)
    }

    /// Throws the same `notFound` for an unknown id, for another project's and for a job of another kind.
    private func stored(_ id: String, param: String? = nil, by principal: Principal) async throws -> StoredJob {
        do {
            _ = try await jobs.show(id, by: principal)
        } catch let error as MartletError where error.code == .notFound {
            throw Self.unknown(id, param: param)
        }
        guard let job = try await store.job(id, projectID: principal.project), job.info.kind == .fineTune else {
            throw Self.unknown(id, param: param)
        }
        return job
    }

    private static func unknown(_ id: String, param: String?) -> MartletError {
        MartletError(
            .notFound, "there is no fine-tuning job '\(id.prefix(80))'; see GET /v1/fine_tuning/jobs", param: param)
    }

    private func described(_ job: StoredJob) async throws -> TuningJob {
        let id = job.info.id
        let chosen = try await store.event(ofJob: id, key: "hyperparameters")?.event.data
        return TuningJob(
            job, info: await jobs.shown(job), chosen: chosen, resultFiles: try await store.files(ofJob: id).map(\.id),
            now: clock.now())
    }
}
