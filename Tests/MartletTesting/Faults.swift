import MartletWire
import Testing

/// What `body` throws, with its message holding every one of `parts`.
@discardableResult
public func expectFault(
    _ code: MartletError.Code, _ parts: [String], _ location: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) -> MartletError? {
    do {
        try body()
    } catch let error as MartletError {
        #expect(error.code == code, "\(error.message)", sourceLocation: location)
        for part in parts {
            #expect(error.message.contains(part), "'\(part)' is not in: \(error.message)", sourceLocation: location)
        }
        return error
    } catch {
        Issue.record(error, sourceLocation: location)
        return nil
    }
    Issue.record("nothing was thrown", sourceLocation: location)
    return nil
}
