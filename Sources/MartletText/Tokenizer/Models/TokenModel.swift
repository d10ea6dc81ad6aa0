/// Tokens as a model puts them out: identifiers, and where each stands in the text.
struct TokenRun: Sendable {
    var ids: [Int32] = []
    /// Bytes in the text that was cut, which has fewer than 2³¹; of the last tokens alone where places are not kept.
    var starts: [Int32] = []
    var ends: [Int32] = []
    var keepsPlaces = true

    /// Between two words: forgets places that are not kept, so that their memory stays near.
    @inline(__always)
    mutating func endWord() {
        guard !keepsPlaces, !ends.isEmpty else { return }
        starts.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
    }

    @inline(__always)
    mutating func append(_ id: Int32, _ start: Int, _ end: Int) {
        ids.append(id)
        starts.append(Int32(truncatingIfNeeded: start))
        ends.append(Int32(truncatingIfNeeded: end))
    }

    /// Lets the last token reach further.
    mutating func extendLast(to end: Int) {
        guard !ends.isEmpty else { return }
        ends[ends.count - 1] = Int32(truncatingIfNeeded: end)
    }
}

/// What cuts a piece of text into tokens of a vocabulary.
protocol TokenModel: Sendable {
    var vocabulary: ModelVocabulary { get }
    /// The token for what is not known where it says, as `tokenizers` has it, the text that it stands for; else −1.
    var nameless: Int32 { get }
    /// Appends the tokens of `bytes[start..<end]`, which is valid UTF-8 and not empty.
    func tokenize(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, cache: inout TokenCache, into run: inout TokenRun
    ) throws
}

extension TokenModel {
    var nameless: Int32 { -1 }
}

/// A model's tokens by identifier, and back.
struct ModelVocabulary: Sendable {
    private(set) var table: ByteTable
    private(set) var tokens: [[UInt8]?]

    init(capacity: Int) {
        table = ByteTable(minimumCapacity: capacity)
        tokens = []
        tokens.reserveCapacity(capacity)
    }

    /// Whether a token's identifier is its place in a list, which may have a token twice.
    var isList = false

    /// How many tokens there are; identifiers may have holes.
    var count: Int { isList ? tokens.count : table.count }

    mutating func set(_ token: [UInt8], _ id: Int) {
        table.set(token, Int32(id))
        while tokens.count <= id { tokens.append(nil) }
        tokens[id] = token
    }

    func id(of token: String) -> Int? {
        let id = table.value(token)
        return id < 0 ? nil : Int(id)
    }

    func token(_ id: Int) -> [UInt8]? { tokens.indices.contains(id) ? tokens[id] : nil }
}

/// Words met before and what they were cut into. One belongs to one call at a time.
struct TokenCache: Sendable {
    private var words = ByteTable(minimumCapacity: 1024)
    private var spans: [(start: Int32, count: Int32)] = []
    private var ids: [Int32] = []
    private var lengths: [Int32] = []
    /// Room for the merging of a word, kept from call to call.
    var merger = PairMerger()
    /// Room for the best way through a text, kept likewise.
    private var path: [Int32] = []
    /// Memory for the tokens of the next text: fresh memory costs a long text as much as cutting it.
    private var run = TokenRun()

    /// Tokens of a text whose memory is kept.
    private static let runLimit = 3 << 19

    /// An empty run in the memory of the last one.
    mutating func takeRun() -> TokenRun {
        var taken = TokenRun()
        swap(&taken, &run)
        return taken
    }

    mutating func keep(_ used: inout TokenRun) {
        guard used.ids.capacity <= Self.runLimit else { return }
        used.ids.removeAll(keepingCapacity: true)
        used.starts.removeAll(keepingCapacity: true)
        used.ends.removeAll(keepingCapacity: true)
        swap(&used, &run)
    }

    /// Gives `body` a number for each of `count` places, which are all `value` at first.
    mutating func withPath(
        _ count: Int, of value: Int32, _ body: (UnsafeMutableBufferPointer<Int32>) throws -> Void
    ) rethrows {
        path.removeAll(keepingCapacity: true)
        path.append(contentsOf: repeatElement(value, count: count))
        defer { if count > PairMerger.keptCount { path = [] } }
        try path.withUnsafeMutableBufferPointer { try body($0) }
    }

    /// Bytes that the kept memory takes, about.
    var runByteCount: Int { 12 * run.ids.capacity }

    static let wordLimit = 64
    static let entryLimit = 1 << 16

    /// Appends what `key` was cut into; false where it has not been met.
    @inline(__always)
    mutating func replay(_ key: UnsafeBufferPointer<UInt8>, at start: Int, into run: inout TokenRun) -> Bool {
        let entry = words.value(key)
        guard entry >= 0 else { return false }
        let span = spans[Int(entry)]
        guard run.keepsPlaces else {
            for index in Int(span.start)..<Int(span.start + span.count) { run.ids.append(ids[index]) }
            return true
        }
        var place = start
        for index in Int(span.start)..<Int(span.start + span.count) {
            let next = place + Int(lengths[index])
            run.append(ids[index], place, next)
            place = next
        }
        return true
    }

    /// Keeps what `key`, a word at `start`, was cut into: the tokens of `run` from `first` on.
    mutating func keep(_ key: UnsafeBufferPointer<UInt8>, at start: Int, _ run: TokenRun, from first: Int) {
        guard key.count <= Self.wordLimit else { return }
        if spans.count >= Self.entryLimit {
            words.removeAll()
            spans.removeAll(keepingCapacity: true)
            ids.removeAll(keepingCapacity: true)
            lengths.removeAll(keepingCapacity: true)
        }
        words.set(key, Int32(spans.count))
        spans.append((Int32(ids.count), Int32(run.ids.count - first)))
        var place = Int32(start)
        let placeless = run.ids.count - run.ends.count
        for index in first..<run.ids.count {
            ids.append(run.ids[index])
            lengths.append(run.ends[index - placeless] - place)
            place = run.ends[index - placeless]
        }
    }
}

extension TokenRun {
    mutating func removeAll(from index: Int) {
        let count = ids.count - index
        ids.removeLast(count)
        starts.removeLast(min(count, starts.count))
        ends.removeLast(min(count, ends.count))
    }
}
