import Foundation
import MartletData
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Synchronization
import Testing

/// A job stops in every phase when it is asked to, and a paused one goes on to the bits of one that was never stopped.
@Suite struct StoppingTests {
    private static let features = """
        name: mixed
        data: {source: mixed.csv, split: {train: 0.5, validation: 0.3, test: 0.2, seed: 3}}
        inputs: {a: number, b: number, color: category}
        outputs: {label: {type: category}}
        combiner: {layers: [16], dropout: 0.3}
        training: {epochs: 3, batch_size: 32, seed: 9}
        """
    private static let table = ["mixed.csv": mixedTable(rows: 2000)]

    private static let tuning = """
        name: tuned
        base: tiny
        adapter: {rank: 4, dropout: 0.2}
        data: {source: {train: chat.jsonl, validation: chat.jsonl}}
        training: {steps: 6, batch_size: 4, seed: 3}
        """

    private static let language = """
        name: rhymes
        data: {source: rhymes.txt, split: {train: 0.7, validation: 0.2, test: 0.1}}
        model: {architecture: gpt, layers: 1, heads: 2, width: 16, context: 8, dropout: 0.1, tokenizer: characters}
        training: {steps: 12, batch_size: 8, seed: 5}
        evaluation: {sample: {tokens: 0}}
        """
    private static let rhymes = String(repeating: "the swift is small\nthe tree is tall\n", count: 60)

    /// The phase in which the question is asked that stops the job.
    @Test(arguments: ["preparing", "evaluating"], [1, 2])
    func `a job of features`(phase: String, question: Int) throws {
        let undisturbed = try Job(Self.features, data: Self.table)
        let card = try undisturbed.finish()
        let job = try Job(Self.features, data: Self.table)
        guard case .paused = try job.run(Told(), in: phase, stop: { $0 == question ? .pause : nil }) else {
            throw MartletError(.internal, "the job was not paused while \(phase)")
        }
        #expect(!FileManager.default.fileExists(atPath: job.bundle))
        #expect(try job.finish().metrics == card.metrics)
        #expect(try job.weights == undisturbed.weights)

        let cancelled = try Job(Self.features, data: Self.table)
        guard case .cancelled = try cancelled.run(Told(), in: phase, stop: { $0 == question ? .cancel : nil }) else {
            throw MartletError(.internal, "the job was not cancelled while \(phase)")
        }
        #expect(!FileManager.default.fileExists(atPath: cancelled.bundle))
    }

    @Test func `a pause while an epoch is measured keeps the epoch's steps`() throws {
        let undisturbed = try Job(Self.features, data: Self.table)
        let first = Told()
        let card = try undisturbed.finish(first)
        let job = try Job(Self.features, data: Self.table)
        let told = Told()
        // The steps are done in no time, so the first question after the data is one of the validation rows.
        guard case .paused = try job.run(Self.pausing(told, after: "epoch-1", question: 2)) else {
            throw MartletError(.internal, "the job was not paused")
        }
        #expect(told.event("epoch-2") == nil)
        let steps = try onCompute {
            let found = try #require(try CheckpointStore(directory: job.directory + "/checkpoints", keep: 3).newest())
            #expect(found.state.unmeasuredLoss != nil)
            return found.state.step
        }
        #expect(steps == 2 * 1000 / 32 + 2)
        let second = Told()
        #expect(try job.finish(second).metrics == card.metrics)
        #expect(try job.weights == undisturbed.weights)
        for epoch in 2...3 { #expect(second.event("epoch-\(epoch)") == first.event("epoch-\(epoch)")) }
        #expect(second.event("epoch-1") == nil)
    }

    @Test(arguments: ["preparing", "evaluating", "checking"])
    func `a tuning job`(phase: String) throws {
        let data = ["chat.jsonl": try TuningTest.goldenText("chat.jsonl")]
        let undisturbed = try TuningTest(Self.tuning, data)
        let result = try undisturbed.finish()
        let job = try TuningTest(Self.tuning, data)
        guard case .paused = try job.run(in: phase, stop: { $0 == 1 ? .pause : nil }) else {
            throw MartletError(.internal, "the job was not paused while \(phase)")
        }
        #expect(!FileManager.default.fileExists(atPath: job.bundle))
        #expect(try job.finish().card?.metrics == result.card?.metrics)
        #expect(try job.weights == undisturbed.weights)
        let cancelled = try TuningTest(Self.tuning, data)
        guard case .cancelled = try cancelled.run(in: phase, stop: { $0 == 1 ? .cancel : nil }) else {
            throw MartletError(.internal, "the job was not cancelled while \(phase)")
        }
    }

    @Test(arguments: ["preparing", "evaluating"])
    func `a language model in training`(phase: String) throws {
        let undisturbed = try Job(Self.language, data: ["rhymes.txt": Self.rhymes])
        let card = try undisturbed.finish()
        let job = try Job(Self.language, data: ["rhymes.txt": Self.rhymes])
        guard case .paused = try job.run(Told(), in: phase, stop: { $0 == 2 ? .pause : nil }) else {
            throw MartletError(.internal, "the job was not paused while \(phase)")
        }
        #expect(try job.finish().metrics == card.metrics)
        #expect(try job.weights == undisturbed.weights)
    }

    @Test func `a pause while a sample is written keeps the epoch's steps`() throws {
        let text = Self.language.replacingOccurrences(of: "tokens: 0", with: "tokens: 60")
        let undisturbed = try Job(text, data: ["rhymes.txt": Self.rhymes])
        let first = Told()
        _ = try undisturbed.finish(first)
        let job = try Job(text, data: ["rhymes.txt": Self.rhymes])
        let told = Told()
        guard case .paused = try job.run(Self.pausing(told, after: "data", question: 30)) else {
            throw MartletError(.internal, "the job was not paused")
        }
        // What is measured takes a few questions; the rest was of the sample.
        #expect(told.event("epoch-1") == nil)
        let second = Told()
        _ = try job.finish(second)
        #expect(first.event("epoch-1") != nil && first.event("sample-1") != nil)
        #expect(second.event("epoch-1") == first.event("epoch-1"))
        #expect(second.event("sample-1") == first.event("sample-1"))
        #expect(try job.weights == undisturbed.weights)
    }

    @Test func `reading a dataset and measuring a model`() throws {
        let job = try Job(Self.features, data: Self.table)
        _ = try job.finish()
        let mount = DatasetMount(
            reference: "m", resolved: "m@1", contentHash: "h", path: try #require(job.data["mixed.csv"]))
        for (how, phase) in [(JobLink.Stop.pause, "preparing"), (.cancel, "evaluating")] {
            let task = EvaluateTask(
                jobID: "e", bundle: job.bundle, dataset: mount, directory: job.scratch.path + "/evaluate",
                share: MachineShare(threads: 1))
            try Self.expect(how) {
                try onCompute { try EvaluateJob(task, link: Told().link(in: phase) { $0 == 2 ? how : nil }).run() }
            }
        }
        let task = ProfileTask(jobID: "p", dataset: mount, directory: job.scratch.path + "/profile")
        try Self.expect(.cancel) { try ProfileJob(task, link: Told().link(in: "preparing") { _ in .cancel }).run() }
    }

    /// Tells `told`, and asks for a pause at the so many-th question after an event.
    private static func pausing(_ told: Told, after event: String, question: Int) -> JobLink {
        let link = told.link()
        let questions = Mutex(0)
        return JobLink(
            event: link.event, progress: link.progress,
            stop: {
                guard told.event(event) != nil else { return nil }
                let count = questions.withLock { count in
                    count += 1
                    return count
                }
                return count == question ? .pause : nil
            })
    }

    private static func expect(_ how: JobLink.Stop, _ run: () throws -> JobOutcome) throws {
        switch (try run(), how) {
        case (.paused, .pause), (.cancelled, .cancel): break
        default: Issue.record("the job did not stop")
        }
    }
}
