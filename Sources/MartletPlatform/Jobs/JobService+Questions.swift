import MartletStore
import MartletText
import MartletWire

/// The models that a training job's graders ask.
extension JobService {
    /// The answers to a worker's questions, as an eval's graders get theirs: in the gaps of those that someone waits for,
    /// at the job's key's cost.
    ///
    /// Each answer is stored with its cost as it comes, until the worker asks something else, which it does once it has
    /// kept these: whatever dies, only what was under way is asked again, and nothing is paid for twice.
    ///
    /// Throws `cancelled` for a job that is over, `invalidRequest` for a model that its grader does not name, and what
    /// a model's server said where it could not be asked.
    func answer(_ questions: ModelQuestions, job id: String, tokenHash: String) async throws -> ModelAnswers {
        guard let run = runs[id], run.job.tokenHash == tokenHash, run.machine.phase != .done else {
            throw MartletError(.cancelled, "this worker's job is over or was given to another")
        }
        guard (1...ModelQuestions.countLimit).contains(questions.bodies.count) else {
            throw MartletError(
                .invalidRequest,
                "a worker asked \(questions.bodies.count) questions at once; use 1 to \(ModelQuestions.countLimit)")
        }
        let known = Set(try Self.graderModels(run.job.request))
        let asked = try questions.bodies.map { text in
            let body = try JSONParser.parse(text, limits: .trusted)
            guard let model = body["model"]?.string, known.contains(model) else {
                throw MartletError(.invalidRequest, "the job's grader names no such model as it asks")
            }
            return (model, body, ContentHash.of(text))
        }
        let (store, clock, gate) = (self.store, self.clock, self.gate)
        let stored = try await store.graderAnswers(ofJob: id, keeping: asked.map { $0.2 })
        let principal = Principal(
            keyID: run.job.keyID, project: run.job.projectID, projectName: "", role: .developer)
        let asker = ModelAsker(executor: executor, clock: clock, gate: gate)
        return try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for (index, (model, body, question)) in asked.enumerated() {
                group.addTask {
                    if let known = stored[question] { return (index, known) }
                    guard await gate.acquire() else { throw CancellationError() }
                    let answer: Result<String, any Error>
                    do {
                        answer = .success(
                            try await Self.paid(question, ofJob: id, in: store, clock) { tab in
                                try await asker.ask(body, by: principal.paying(on: tab)).text
                            })
                    } catch var error as MartletError {
                        error.message = "the grader's model '\(model.prefix(200))' could not be asked: \(error.message)"
                        answer = .failure(error)
                    } catch {
                        answer = .failure(error)
                    }
                    await gate.release()
                    return (index, try answer.get())
                }
            }
            var texts = [String](repeating: "", count: asked.count)
            for try await (index, text) in group { texts[index] = text }
            return ModelAnswers(texts: texts)
        }
    }

    /// The answer once it is stored with what it used; while the disk is full it waits for room.
    private static func paid(
        _ question: String, ofJob id: String, in store: Store, _ clock: PlatformClock,
        _ ask: (UsageTab) async throws -> String
    ) async throws -> String {
        let tab = UsageTab()
        var answer = try await ask(tab)
        let usage = tab.close()
        try await WorkPace.insist(clock) {
            answer = try await store.keep(graderAnswer: answer, to: question, ofJob: id, usage: usage)
        }
        return answer
    }

    /// Throws `modelNotFound` where the job's grader names a model that is not there, and `invalidRequest` for one that
    /// writes no text: better now than hours later.
    func checkGraders(_ request: JobRequest, by principal: Principal) async throws {
        guard request.kind == .fineTune else { return }
        for name in try Self.graderModels(request) {
            try await deployments.checkWriter(
                name, called: "the grader's model", param: "tuning.grader.model", by: principal)
        }
    }

    /// The models that the recipe's grader asks; none for jobs without one.
    static func graderModels(_ request: JobRequest) throws -> [String] {
        guard let grader = request.recipe?["tuning"]?["grader"], !grader.isNull else { return [] }
        return try Grader(grader, path: "tuning.grader").models
    }
}
