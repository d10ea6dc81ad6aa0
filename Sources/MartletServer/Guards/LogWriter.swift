import Foundation
import MartletWire
import Synchronization

/// Lines on their way to a descriptor, written on a thread of their own: whoever reads them slowly or not at all holds
/// nobody up. Past a limit lines are lost, and how many is told once there is room.
package final class LogWriter: Sendable {
    private struct State {
        var waiting: [UInt8] = []
        var isWriting = false
        var lostCount = 0
    }
    private let descriptor: Int32
    private let byteLimit: Int
    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "log")
    private let hurry = DispatchSemaphore(value: 0)
    /// Under load lines leave in batches: a thread that wakes for each costs more than the line.
    private static let pause = DispatchTimeInterval.milliseconds(100)

    package init(descriptor: Int32, byteLimit: Int = 4 << 20) {
        self.descriptor = descriptor
        self.byteLimit = byteLimit
    }

    /// `line` without its end. Touches memory only.
    package func put(_ line: String) {
        let begins = state.withLock { state in
            guard state.waiting.count + line.utf8.count < byteLimit else {
                state.lostCount += 1
                return false
            }
            state.waiting += line.utf8
            state.waiting.append(UInt8(ascii: "\n"))
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if begins { queue.async { self.writeAll() } }
    }

    /// Waits until what was put is written, for a second at most.
    package func flush() {
        let written = DispatchSemaphore(value: 0)
        hurry.signal()
        queue.async { written.signal() }
        _ = written.wait(timeout: .now() + 1)
    }

    private func writeAll() {
        while true {
            let (bytes, lostCount) = state.withLock { state in
                defer { (state.waiting, state.lostCount) = ([], 0) }
                state.isWriting = !state.waiting.isEmpty || state.lostCount > 0
                return (state.waiting, state.lostCount)
            }
            guard !bytes.isEmpty || lostCount > 0 else { return }
            write(bytes)
            if lostCount > 0 {
                let note: JSON = ["level": "error", "message": "lines of the log were lost", "count": JSON(lostCount)]
                write(Array((note.serialized() + "\n").utf8))
            }
            _ = hurry.wait(timeout: .now() + Self.pause)
        }
    }

    /// A log on a full disk, or a pipe whose reader has gone, must not end the server.
    private func write(_ bytes: [UInt8]) {
        try? bytes.withUnsafeBytes { try DurableFile.write($0, to: descriptor, doing: "writing the log") }
    }
}
