import Foundation
import MartletStore
import MartletWire

/// What was used: rows by hour, key, kind and resource.
public actor Ledger {
    /// Hours from `from` until before `to`; an admin sees all projects, others their own. Inference keys may not ask.
    public func usage(from: Date? = nil, to: Date? = nil, by principal: Principal) async throws -> [UsageRow] { [] }
}
