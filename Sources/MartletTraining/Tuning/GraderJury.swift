import Foundation
import MartletText
import MartletWire

/// A grader with the models that it asks.
///
/// What a model said is kept in the job's folder by the question's hash before it is used, so a job that goes on after
/// its worker died hears the same again and computes the same bits, whatever the model would say now.
final class GraderJury {
    private let grader: Grader
    private let link: JobLink
    private let answers: KeptAnswers?

    /// - Parameter directory: the job's folder.
    init(_ grader: Grader, directory: String, link: JobLink) throws {
        self.grader = grader
        self.link = link
        answers = grader.models.isEmpty ? nil : try KeptAnswers(path: directory + "/grader-answers.jsonl")
        guard let count = answers?.damagedCount, count > 0 else { return }
        link.event(
            JobEvent(
                key: "damaged-grader-answers", type: "warning", level: "warning",
                message:
                    "kept answers of graders' models are damaged (\(count)) and are asked for again; bits may differ"))
    }

    /// Grades of answers; nil for one whose grade a model did not give in a form that can be read.
    struct Grades {
        var scores: [Double?]
        /// Why the last of those without a grade has none.
        var fault: MartletError?
    }

    /// Throws where the grader gives no number or a model could not be asked, and where the job was asked to stop
    /// meanwhile.
    func grades(_ contexts: [GraderContext]) throws -> Grades {
        guard let answers else { return Grades(scores: try contexts.map { try finite(grader.score($0)) }) }
        let bodies = try contexts.map { try grader.questions($0).map { $0.body.serialized() } }
        try ask(bodies.flatMap { $0 }.filter { answers[$0] == nil })
        var grades = Grades(scores: [])
        for (context, bodies) in zip(contexts, bodies) {
            do {
                let score = try grader.score(context, answers: bodies.compactMap { answers[$0] })
                grades.scores.append(try finite(score))
            } catch let error as MartletError where error.code == .invalidData {
                grades.scores.append(nil)
                grades.fault = error
            }
        }
        return grades
    }

    private func finite(_ score: GraderScore) throws -> Double {
        guard score.value.isFinite else {
            throw MartletError(
                .invalidData,
                "the grader '\(grader.name)' gave \(score.value), which is no number to learn from",
                param: "tuning.grader")
        }
        return score.value
    }

    /// Each of the questions once.
    private func ask(_ bodies: [String]) throws {
        guard let answers, !bodies.isEmpty else { return }
        guard let ask = link.ask else {
            throw MartletError(.internal, "the grader '\(grader.name)' has no model to ask; report this")
        }
        var seen: Set<String> = []
        let open = bodies.filter { seen.insert($0).inserted }
        for first in stride(from: 0, to: open.count, by: ModelQuestions.countLimit) {
            let part = Array(open[first..<min(first + ModelQuestions.countLimit, open.count)])
            let said = try ask(ModelQuestions(bodies: part)) { try link.goOn() }.texts
            guard said.count == part.count else {
                throw MartletError(
                    .internal, "\(part.count) questions got \(said.count) answers; update martlet and martlet-engine")
            }
            try answers.keep(Array(zip(part, said)))
        }
    }
}

/// Answers by their questions, one a line in a file that only grows.
final class KeptAnswers {
    private let path: String
    /// By the question's hash.
    private var answers: [String: String] = [:]
    /// Lines that cannot be read.
    private(set) var damagedCount = 0

    private struct Line: Codable {
        var question: String
        var answer: String
    }

    /// Reads what an earlier worker kept; half a line at the end is one that it died in, and is cut off.
    init(path: String) throws {
        self.path = path
        guard let data = FileManager.default.contents(atPath: path) else {
            try DurableFile.write(Data(), to: path)
            try DurableFile.sync((path as NSString).deletingLastPathComponent)
            return
        }
        let whole = data.lastIndex(of: UInt8(ascii: "\n")).map { data.distance(from: data.startIndex, to: $0) + 1 } ?? 0
        for line in data.prefix(whole).split(separator: UInt8(ascii: "\n")) {
            if let line = try? JSONDecoder.wire.decode(Line.self, from: Data(line)) {
                answers[line.question] = line.answer
            } else {
                damagedCount += 1
            }
        }
        guard whole < data.count else { return }
        try open { try $0.truncate(atOffset: UInt64(whole)) }
    }

    subscript(_ question: String) -> String? { answers[ContentHash.of(question)] }

    /// On the disk when it returns. Throws `storageFull`.
    func keep(_ pairs: [(question: String, answer: String)]) throws {
        let lines = pairs.map { Line(question: ContentHash.of($0.question), answer: $0.answer) }
        var data = Data()
        for line in lines {
            data += try JSONEncoder.wire.encode(line)
            data.append(UInt8(ascii: "\n"))
        }
        try open { file in
            _ = try file.seekToEnd()
            try file.write(contentsOf: data)
        }
        for line in lines { answers[line.question] = line.answer }
    }

    private func open(_ change: (FileHandle) throws -> Void) throws {
        do {
            let file = try FileHandle(forWritingTo: URL(filePath: path))
            defer { try? file.close() }
            try change(file)
            try file.synchronize()
        } catch {
            throw DurableFile.explain(error, what: "an answer of a grader's model")
        }
    }
}
