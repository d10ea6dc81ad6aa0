import Foundation
import MartletWire

/// An eval: what its data looks like and how answers are judged.
package struct StoredEval: Sendable, Equatable {
    package struct Info: Codable, Sendable, Equatable {
        package var name: String
        package var metadata: JSON?
        @VerbatimJSON package var dataSourceConfig: JSON
        @VerbatimJSON package var testingCriteria: JSON
        package init(name: String, metadata: JSON?, dataSourceConfig: JSON, testingCriteria: JSON) {
            self.name = name
            self.metadata = metadata
            self.dataSourceConfig = dataSourceConfig
            self.testingCriteria = testingCriteria
        }
    }
    package var id: String
    package var projectID: String
    package var createdAt: Date
    package var updatedAt: Date
    package var info: Info
    package init(id: String, projectID: String, createdAt: Date, updatedAt: Date, info: Info) {
        self.id = id
        self.projectID = projectID
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.info = info
    }
}

/// One run of an eval.
package struct StoredEvalRun: Sendable, Equatable {
    package enum State: String, Codable, Sendable {
        case queued, inProgress = "in_progress", completed, failed, canceled
        package var isFinal: Bool { self == .completed || self == .failed || self == .canceled }
    }
    package struct Info: Codable, Sendable, Equatable {
        package var name: String
        package var model: String
        package var metadata: JSON?
        @VerbatimJSON package var dataSource: JSON
        package var error: MartletError?
        package init(name: String, model: String, metadata: JSON?, dataSource: JSON) {
            self.name = name
            self.model = model
            self.metadata = metadata
            self.dataSource = dataSource
        }
    }
    package var id: String
    package var evalID: String
    package var projectID: String
    package var keyID: String
    package var state: State
    package var createdAt: Date
    package var info: Info
    package init(
        id: String, evalID: String, projectID: String, keyID: String, state: State, createdAt: Date, info: Info
    ) {
        self.id = id
        self.evalID = evalID
        self.projectID = projectID
        self.keyID = keyID
        self.state = state
        self.createdAt = createdAt
        self.info = info
    }
}

/// One item of a run's data, and what came of it.
package struct StoredEvalItem: Sendable, Equatable {
    package enum State: String, Sendable { case waiting, pass, fail, error }
    package var id: String
    /// From 0, in the order of the data.
    package var number: Int
    /// `{item, sample?}`.
    package var source: JSON
    package var state: State
    /// `{sample, results, usage}`.
    package var result: JSON?
    package var createdAt: Date?
    package init(id: String, number: Int, source: JSON) {
        self.id = id
        self.number = number
        self.source = source
        state = .waiting
    }
}
