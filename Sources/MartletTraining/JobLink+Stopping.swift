import MartletData
import MartletWire

/// A job that was asked to stop; thrown from wherever its work can be left.
struct JobStopped: Error {
    let how: JobLink.Stop
}

extension JobLink {
    /// Throws where the job has been asked to stop; `carryOut` makes an outcome of it.
    public func goOn() throws {
        if let how = stop() { throw JobStopped(how: how) }
    }

    /// Runs a job's work: a stop in the middle of it is an outcome, and rows that could not be used are written to the
    /// job's folder and told before the job fails with the first of them.
    public func carryOut(
        jobID: String, directory: String, _ badRows: BadRows = BadRows(), _ work: () throws -> JobOutcome
    ) throws -> JobOutcome {
        do {
            return try work()
        } catch let stopped as JobStopped {
            return stopped.how == .pause ? .paused : .cancelled
        } catch var error as MartletError where !badRows.isEmpty && error.code != .storageFull {
            try badRows.write(to: "\(directory)/\(JobFile.badRows)")
            let count = badRows.isFull ? "the first \(badRows.count) bad rows" : "\(badRows.count) bad rows"
            if badRows.count > 1 {
                error.message += "\n\(count) are listed, one a line: martlet jobs errors \(jobID)"
            }
            event(
                JobEvent(
                    key: "bad-rows", type: "data", level: "error",
                    message: "\(badRows.count == 1 ? "1 bad row" : count): martlet jobs errors \(jobID)",
                    data: [
                        "count": JSON(badRows.count), "is_all": .bool(!badRows.isFull),
                        "rows": try JSON(encoding: Array(badRows.entries.prefix(20))),
                    ]))
            throw error
        }
    }
}
