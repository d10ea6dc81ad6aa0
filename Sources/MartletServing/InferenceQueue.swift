import Foundation
import MartletData
import MartletWire

/// Requests between the thread that reads them and the compute thread that answers them.
public final class InferenceQueue: @unchecked Sendable {
    // Unchecked: `batcher` and the flags are used under `condition` only.
    public enum Item: Sendable {
        case request(PreparedRequest, @Sendable (Result<InferenceAnswer, MartletError>) -> Void)
        /// Answered by the compute thread, so that a stuck one shows.
        case ping(@Sendable () -> Void)
    }

    private let condition = NSCondition()
    private var batcher: Batcher<Item>
    private var isDraining = false

    public init(maxRows: Int, queueLimit: Int) {
        batcher = Batcher(maxRows: maxRows, queueLimit: queueLimit)
    }

    public static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

    /// False where the queue is full or closing.
    public func put(_ item: Item, rows: Int, deadline: UInt64?) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        guard !isDraining else { return false }
        let isAccepted = batcher.accept(.init(item: item, rows: rows, deadline: deadline, arrived: Self.now))
        if isAccepted { condition.signal() }
        return isAccepted
    }

    /// Accepts nothing more; `take` returns nil once what waits is taken.
    public func drain() {
        condition.lock()
        isDraining = true
        condition.broadcast()
        condition.unlock()
    }

    /// Waits for the next pass; nil where the queue is drained.
    func take() -> (batch: [Batcher<Item>.Entry], expired: [Batcher<Item>.Entry])? {
        condition.lock()
        defer { condition.unlock() }
        while batcher.count == 0 {
            if isDraining { return nil }
            condition.wait()
        }
        return batcher.next(now: Self.now)
    }
}

/// A request whose body has been read and checked.
public struct PreparedRequest: Sendable {
    public let features: FeatureBatch
    /// The rows of a model that reads whole texts.
    public let texts: [TextReading]
    public let form: AnswerForm

    public init(features: FeatureBatch, form: AnswerForm) {
        self.features = features
        self.form = form
        texts = []
    }

    public init(texts: [TextReading], form: AnswerForm) {
        self.texts = texts
        self.form = form
        features = FeatureBatch(count: texts.count, features: [])
    }
}

/// How an answer is written.
public enum AnswerForm: Sendable {
    case predictions
    case openInference(OpenInferenceAnswer)
}

public struct InferenceAnswer: Sendable {
    public var reply: InferenceReply
    public var body: [UInt8]
}
