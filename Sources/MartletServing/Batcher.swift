/// Decides which waiting requests go through the model together. A value: it holds no tensors and looks at no clock.
///
/// A request joins the next pass as soon as the model is free, so at low load nobody waits for company and under load
/// the batch grows by itself. A pass takes at most `maxRows` rows (one larger request goes alone); the queue is bounded.
public struct Batcher<Item> {
    public struct Entry {
        public var item: Item
        public var rows: Int
        /// Nanoseconds of a monotonic clock after which nobody waits for the answer.
        public var deadline: UInt64?
        public var arrived: UInt64

        public init(item: Item, rows: Int, deadline: UInt64?, arrived: UInt64) {
            self.item = item
            self.rows = rows
            self.deadline = deadline
            self.arrived = arrived
        }
    }

    /// Those before `head` are taken, and nil: an entry may hold much memory.
    private var waiting: [Entry?] = []
    private var head = 0
    private let maxRows: Int
    private let queueLimit: Int

    public init(maxRows: Int, queueLimit: Int) {
        self.maxRows = maxRows
        self.queueLimit = queueLimit
    }

    public var count: Int { waiting.count - head }

    /// Takes a request in; false where the queue is full. One without rows always has room: a full queue must not
    /// hide that nobody works on it.
    public mutating func accept(_ entry: Entry) -> Bool {
        guard count < queueLimit || entry.rows == 0 else { return false }
        waiting.append(entry)
        return true
    }

    /// The next pass, in order of arrival, and the requests whose deadline went by while they waited.
    public mutating func next(now: UInt64) -> (batch: [Entry], expired: [Entry]) {
        var batch: [Entry] = []
        var expired: [Entry] = []
        var rows = 0
        while head < waiting.count {
            guard let entry = waiting[head] else { break }
            if let deadline = entry.deadline, deadline <= now {
                expired.append(entry)
            } else if batch.isEmpty || rows + entry.rows <= maxRows {
                batch.append(entry)
                rows += entry.rows
            } else {
                break
            }
            waiting[head] = nil
            head += 1
        }
        if head == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 1024 {
            waiting.removeFirst(head)
            head = 0
        }
        return (batch, expired)
    }

    /// Takes out the requests whose deadline went by.
    public mutating func expire(now: UInt64) -> [Entry] {
        take { $0.deadline.map { $0 <= now } ?? false }
    }

    /// Takes out the requests without rows.
    public mutating func takeRowless() -> [Entry] { take { $0.rows == 0 } }

    /// Takes out the requests that `isWanted` says.
    public mutating func take(where isWanted: (Entry) -> Bool) -> [Entry] {
        let found = waiting.compactMap { $0 }.filter(isWanted)
        guard !found.isEmpty else { return [] }
        waiting = waiting.filter { $0.map { !isWanted($0) } ?? false }
        head = 0
        return found
    }

    /// The earliest deadline of those that wait.
    public var nextDeadline: UInt64? { waiting.lazy.compactMap { $0?.deadline }.min() }
}
