import Foundation
import MartletWire

/// A batch of requests, from its acceptance to its files.
package struct StoredBatch: Sendable, Equatable {
    package enum State: String, Codable, Sendable, CaseIterable {
        case validating, inProgress = "in_progress", finalizing, completed, failed, expired, cancelling, cancelled

        package var isFinal: Bool { [.completed, .failed, .expired, .cancelled].contains(self) }
    }

    package struct Fault: Codable, Sendable, Equatable {
        package var code: String
        package var line: Int?
        package var message: String
        package var param: String?
        package init(code: String, line: Int?, message: String, param: String?) {
            self.code = code
            self.line = line
            self.message = message
            self.param = param
        }
    }

    /// What is told of it, and does not change with each line.
    package struct Info: Codable, Sendable, Equatable {
        package var endpoint: String
        package var inputFile: String
        package var metadata: JSON?
        package var model: String?
        /// Seconds after which its files go.
        package var fileSeconds: Int?
        package var expiresAt: Date
        package var total = 0
        package var errors: [Fault] = []
        package var outputFile: String?
        package var errorFile: String?
        /// When each state began.
        package var times: [String: Date] = [:]
        /// Counts and tokens of a batch that is over.
        package var tally: Tally?

        package init(
            endpoint: String, inputFile: String, metadata: JSON?, fileSeconds: Int?, expiresAt: Date
        ) {
            self.endpoint = endpoint
            self.inputFile = inputFile
            self.metadata = metadata
            self.fileSeconds = fileSeconds
            self.expiresAt = expiresAt
        }
    }

    /// What came of its lines so far.
    package struct Tally: Codable, Sendable, Equatable {
        package var completed = 0
        package var failed = 0
        package var inputTokens = 0
        package var cachedTokens = 0
        package var outputTokens = 0
        package init() {}
    }

    package var id: String
    package var projectID: String
    package var keyID: String
    package var state: State
    package var createdAt: Date
    package var treeHash: String
    package var info: Info

    package init(
        id: String, projectID: String, keyID: String, state: State, createdAt: Date, treeHash: String, info: Info
    ) {
        self.id = id
        self.projectID = projectID
        self.keyID = keyID
        self.state = state
        self.createdAt = createdAt
        self.treeHash = treeHash
        self.info = info
    }
}

/// One line of a batch's input file.
package struct StoredBatchLine: Sendable, Equatable {
    package enum State: String, Sendable { case waiting, completed, failed }
    /// From 1.
    package var line: Int
    package var customID: String
    /// Where its bytes begin in the file, and how many they are.
    package var place: Int
    package var byteCount: Int
    package var state = State.waiting
    /// The line of the output or error file.
    package var result: String?

    package init(line: Int, customID: String, place: Int, byteCount: Int) {
        self.line = line
        self.customID = customID
        self.place = place
        self.byteCount = byteCount
    }
}

/// A file that a batch is about to leave, with its content.
package struct BatchFile: Sendable {
    package var file: FileInfo
    package var tree: Tree
    package init(file: FileInfo, tree: Tree) {
        self.file = file
        self.tree = tree
    }
}
