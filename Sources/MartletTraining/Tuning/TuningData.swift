import Foundation
import MartletData
import MartletText
import MartletWire

/// The examples that a model is tuned on and measured by, as tokens in a job's cache.
struct TuningData: Sendable {
    let train: TokenExamples
    let validation: TokenExamples
    /// Of reinforcement: for each prompt its line.
    let items: (train: [JSON], validation: [JSON])
    let facts: Facts

    /// What was found in the files. Written last, so that a cache with it is whole.
    struct Facts: Codable, Sendable, Equatable {
        /// What the tokens hang on: another key makes the cache anew.
        var key: String
        var trainLines = 0
        var validationLines = 0
        var trainCount = 0
        var trainTokens = 0
        var learntTokens = 0
        var validationCount = 0
        var validationTokens = 0
        var remarks: [String] = []
    }

    /// Checks every line and writes its tokens to `cacheDirectory`; a whole cache of the same data is used again, so that
    /// a resumed job sees the same tokens, whatever the date that a template prints.
    /// - Parameters:
    ///   - split: divides `sources.all`; nil trains on all of it.
    ///   - badRows: takes the lines that cannot be used.
    ///   - stop: asked now and then; true ends it with nil.
    /// - Throws: `invalidData` that names file and line of up to 20 faults.
    static func prepare(
        _ sources: ResolvedSources, method: TuningConfig.Method, split: SplitConfig?, text: TuningText, key: String,
        cacheDirectory: String, badRows: BadRows = BadRows(), stop: () -> Bool = { false }
    ) throws -> TuningData? {
        let factsPath = "\(cacheDirectory)/examples.json"
        if let known = FileManager.default.contents(atPath: factsPath),
            let facts = try? JSONDecoder.wire.decode(Facts.self, from: known), facts.key == key,
            let train = TokenExamples(
                path: "\(cacheDirectory)/train", count: facts.trainCount, tokenCount: facts.trainTokens),
            let validation = TokenExamples(
                path: "\(cacheDirectory)/validation", count: facts.validationCount, tokenCount: facts.validationTokens),
            let items = try? items(cacheDirectory, method)
        {
            return TuningData(train: train, validation: validation, items: items, facts: facts)
        }
        try FileManager.default.createDirectory(atPath: cacheDirectory, withIntermediateDirectories: true)
        var reader = try TuningReader(text, method, cacheDirectory: cacheDirectory, badRows)
        if !sources.all.isEmpty {
            let files = try ExampleFiles(sources.all)
            let codes = try split.map { try ExampleSplit.codes(files, $0) }
            guard try reader.read(files, into: { codes?[$0] ?? .train }, stop) else { return nil }
        }
        for (paths, part) in [(sources.train, Split.train), (sources.validation + sources.test, .validation)]
        where !paths.isEmpty {
            guard try reader.read(try ExampleFiles(paths), into: { _ in part }, stop) else { return nil }
        }
        return try reader.finish(key: key, factsPath: factsPath)
    }

    fileprivate static func itemsPath(_ directory: String, _ part: Split) -> String {
        "\(directory)/\(part.rawValue).items.jsonl"
    }

    private static func items(
        _ directory: String, _ method: TuningConfig.Method
    ) throws -> (train: [JSON], validation: [JSON]) {
        guard method == .reinforcement else { return ([], []) }
        func read(_ part: Split) throws -> [JSON] {
            var items: [JSON] = []
            try ExampleFiles([itemsPath(directory, part)]).forEach { bytes, _, _ in
                items.append(try JSONParser.parse(UnsafeRawBufferPointer(bytes)))
                return true
            }
            return items
        }
        return (try read(.train), try read(.validation))
    }
}

/// Reads lines into the two files of a cache.
private struct TuningReader {
    private let text: TuningText
    private let method: TuningConfig.Method
    private let directory: String
    private let train: TokenExampleWriter
    private let validation: TokenExampleWriter
    private var items: (train: [JSON], validation: [JSON]) = ([], [])
    private let faults: LineFaults
    private var facts = TuningData.Facts(key: "")

    init(_ text: TuningText, _ method: TuningConfig.Method, cacheDirectory: String, _ badRows: BadRows) throws {
        faults = LineFaults(badRows)
        self.text = text
        self.method = method
        directory = cacheDirectory
        train = try TokenExampleWriter(path: "\(cacheDirectory)/train")
        validation = try TokenExampleWriter(path: "\(cacheDirectory)/validation")
    }

    /// False where it was stopped.
    mutating func read(_ files: ExampleFiles, into part: (Int) -> Split, _ stop: () -> Bool) throws -> Bool {
        var number = 0
        var isStopped = false
        let faults = faults
        func tooLong(_ error: MartletError, _ start: String, _ file: String, _ line: Int) throws -> Bool {
            try faults.add(error, file: file, line: line, start: start)
            return !faults.isFull
        }
        try files.forEach(tooLong: tooLong) { bytes, file, line in
            let split = part(number)
            number += 1
            if number % 256 == 0, stop() {
                isStopped = true
                return false
            }
            do {
                let value = try JSONParser.parse(UnsafeRawBufferPointer(bytes))
                let parsed = try TuningLine(value, method: method)
                let (examples, remarks) = try text.examples(parsed)
                for remark in remarks where !facts.remarks.contains(remark) { facts.remarks.append(remark) }
                // What is found wrong makes the tokens useless; only the checking goes on.
                guard faults.lines.isEmpty else { return true }
                let isTrain = split == .train
                for example in examples { try (isTrain ? train : validation).append(example) }
                if isTrain { facts.trainLines += 1 } else { facts.validationLines += 1 }
                if case .prompt(_, let item) = parsed {
                    if isTrain { items.train.append(item) } else { items.validation.append(item) }
                }
            } catch let error as MartletError where error.code != .storageFull {
                try faults.add(error, file: file, line: line, start: String(decoding: bytes.prefix(81), as: UTF8.self))
            }
            return !faults.isFull
        }
        guard !isStopped else { return false }
        if number == 0 {
            try faults.check()
            throw MartletError(
                .invalidData, "\(files.names.joined(separator: ", ")): there are no examples; give at least one line",
                param: "data.source")
        }
        if faults.isFull { try faults.check() }
        facts.remarks += files.remarks
        return true
    }

    mutating func finish(key: String, factsPath: String) throws -> TuningData {
        try faults.check()
        guard train.count > 0 else {
            throw MartletError(
                .invalidData, "no examples are left to train on; give data.split.train a larger share",
                param: "data.source")
        }
        let (trained, held) = (try train.finish(), try validation.finish())
        facts.key = key
        facts.trainCount = train.count
        facts.trainTokens = train.tokenCount
        facts.learntTokens = train.learntCount
        facts.validationCount = validation.count
        facts.validationTokens = validation.tokenCount
        if method == .reinforcement {
            for (part, list) in [(Split.train, items.train), (.validation, items.validation)] {
                let lines = list.map { $0.serialized() }.joined(separator: "\n")
                try DurableFile.write(Data(lines.utf8), to: TuningData.itemsPath(directory, part))
            }
        }
        try DurableFile.write(try JSONEncoder.wire.encode(facts), to: factsPath)
        return TuningData(train: trained, validation: held, items: items, facts: facts)
    }
}
