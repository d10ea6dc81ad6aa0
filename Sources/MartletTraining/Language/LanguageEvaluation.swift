import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

/// Measures a language model on texts through the path that serves it: how well it foretells each token from those
/// before it. Each text stands alone, cut into windows that do not overlap.
struct LanguageEvaluation {
    let task: EvaluateTask
    let link: JobLink
    let serving: ServingPath
    let watch: ReadingWatch

    /// Most tokens that the model sees at once, whatever its context.
    private static let windowLimit = 2048

    /// What the texts came to as windows of tokens.
    private struct Measured {
        let windows: TokenExamples
        let textCount: Int
        let tokenCount: Int
    }

    func run(_ summary: LanguageSummary, _ data: DataConfig) throws -> JobOutcome {
        let started = ContinuousClock.now
        guard task.share.device == "cpu" else {
            throw MartletError(
                .unsupportedFormat,
                "language models are measured on the cpu, where they are served; '\(task.share.device)' is not supported"
            )
        }
        let length = max(1, min(summary.contextLength, Self.windowLimit))
        let measured = try watch.read { try prepare(data, length) }
        link.event(
            JobEvent(
                key: "data", type: "data",
                message: "\(measured.tokenCount) tokens of \(measured.textCount) texts, in windows of at most \(length)"
            ))
        let served = try serving.load(task.bundle, task.base, WeightFormat.asked(task.precision))
        var sum = 0.0
        for index in 0..<measured.windows.count {
            try link.goOn()
            link.progress(JobProgress(phase: "evaluating", step: index, totalSteps: measured.windows.count))
            sum += try loss(of: measured.windows[index], served)
        }
        let loss = sum / Double(measured.tokenCount)
        guard exp(loss).isFinite else {
            throw MartletError(
                .invalidData, "the model's mean loss on these texts is \(loss), which is no measure; import it again")
        }
        let report: JSON = [
            "texts": JSON(measured.textCount), "tokens": JSON(measured.tokenCount), "window": JSON(length),
            "precision": .string(served.format), "metrics": ["loss": .double(loss), "perplexity": .double(exp(loss))],
        ]
        let seconds = started.duration(to: .now).seconds
        return .finished(
            JobResult(
                report: report,
                usage: JobUsage(cpuSeconds: seconds * Double(task.share.threads), rows: measured.textCount)))
    }

    /// Texts that come split give their test part.
    private func prepare(_ data: DataConfig, _ length: Int) throws -> Measured {
        let documents = try documents(data)
        for remark in documents.remarks { EventKeys.message(remark, link) }
        let tokenizer = try tokenizer()
        try FileManager.default.createDirectory(atPath: "\(task.directory)/cache", withIntermediateDirectories: true)
        let writer = try TokenExampleWriter(path: "\(task.directory)/cache/windows")
        var windows: TextWindows?
        let isTested = documents.givenSplits.contains(.test)
        var textCount = 0
        try documents.forEach { part in
            guard !isTested || part.split == .test else { return }
            if windows == nil { windows = TextWindows(lead: try Self.lead(of: tokenizer, part.text), length: length) }
            for token in try tokenizer.ids(of: part.text, addSpecialTokens: false) {
                if let window = windows?.add(Int64(token)) { try writer.append(window) }
            }
            guard part.isLast else { return }
            if let window = windows?.finish() { try writer.append(window) }
            textCount += 1
        }
        let examples = try writer.finish()
        guard writer.learntCount > 0 else {
            throw MartletError(
                .invalidData, "the texts have no token after another, so there is nothing to foretell; give longer ones"
            )
        }
        return Measured(windows: examples, textCount: textCount, tokenCount: writer.learntCount)
    }

    private func documents(_ data: DataConfig) throws -> Documents {
        do {
            return try Documents(
                ResolvedSources(all: [task.dataset.path]), column: data.column, csv: data.csv, watch: watch)
        } catch let error as MartletError where error.code == .invalidRecipe {
            throw MartletError(
                .invalidData,
                "\(error.message). A language model's perplexity is that of texts: name their column '\(data.column)', or "
                    + "grade the model's answers with --graders FILE", param: error.param)
        }
    }

    private func tokenizer() throws -> Tokenizer {
        let folder = try ModelFolder(URL(filePath: task.base ?? task.bundle))
        guard let file = folder.tokenizer, let json = FileManager.default.contents(atPath: file.path) else {
            throw MartletError(.invalidData, "the model has no tokenizer.json; import it with its tokenizer")
        }
        return try Tokenizer(
            json: json,
            config: folder.file("tokenizer_config.json").flatMap { FileManager.default.contents(atPath: $0.path) })
    }

    /// What the tokenizer puts before a text such as this one, which it knows the characters of.
    private static func lead(of tokenizer: Tokenizer, _ text: String) throws -> [Int64] {
        let start = String(text.prefix(16))
        let bare = try tokenizer.ids(of: start, addSpecialTokens: false)
        let whole = try tokenizer.ids(of: start, addSpecialTokens: true)
        let count = whole.indices.first { whole[$0...].starts(with: bare) } ?? 0
        return whole[..<count].map { Int64($0) }
    }

    /// The sum over the tokens of a window that are foretold in it.
    private func loss(of window: TokenExample, _ served: ServingPath.Model) throws -> Double {
        // -100 is a target that does not count.
        let targets = zip(window.tokens, window.isLearnt).map { $1 ? $0 : -100 }.dropFirst()
        var place = targets.startIndex
        var sum = 0.0
        try served.parts(window.tokens.dropLast().map { Int($0) }) { logits_TV in
            let end = place + logits_TV.size(0)
            let part = targets[place..<end]
            place = end
            guard part.contains(where: { $0 >= 0 }) else { return }
            sum += try Tensor.inference {
                try Loss.crossEntropy(
                    logits_TV.to(.float32), Tensor(Array(part), shape: [part.count]), ignoring: -100, .sum
                ).item()
            }
        }
        return sum
    }
}
