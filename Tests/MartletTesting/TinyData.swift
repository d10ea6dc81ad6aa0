import Foundation
import MartletWire

/// Small data sets and recipes that train in a moment.
public enum TinyData {
    /// Two kinds, 雨燕 and martin, that two numbers and a category nearly tell apart; the same rows each time.
    public static func birds(rows: Int = 400) -> String {
        var state: UInt64 = 7
        func uniform() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 11) / Double(1 << 53)
        }
        var text = "wing,mass,nest,kind\n"
        for row in 0..<rows {
            let isSwift = row % 2 == 0
            let wing = (isSwift ? 17.0 : 11.5) + 4 * (uniform() + uniform() - 1)
            let mass = (isSwift ? 42.0 : 19.0) + 24 * (uniform() + uniform() - 1)
            let nest = uniform() < 0.6 ? (isSwift ? "roof" : "bank") : "cliff"
            text += "\(String(format: "%.2f,%.1f", wing, mass)),\(nest),\(isSwift ? "雨燕" : "martin")\n"
        }
        return text
    }

    /// A multilayer perceptron with dropout over `birds`.
    public static func recipe(
        name: String = "birds", source: String = "birds", epochs: Int = 4, learningRate: String = "0.01",
        extra: String = ""
    ) -> String {
        """
        name: \(name)
        data: {source: \(source), split: {train: 0.7, validation: 0.15, test: 0.15, seed: 3}}
        inputs:
          wing: {type: number}
          mass: {type: number}
          nest: {type: category}
        outputs:
          kind: {type: category}
        combiner: {layers: [32], dropout: 0.3}
        training:
          epochs: \(epochs)
          batch_size: 16
          optimizer: {type: adam, learning_rate: \(learningRate)}
          checkpoint: {every: 200 steps}
          seed: 4
        \(extra)
        """
    }

    public static let row = #"{"rows":[{"wing":17.2,"mass":41.0,"nest":"roof"}]}"#
}

extension TestHome {
    /// `data add birds birds.csv`.
    public func addBirds() throws { try json("data", "add", "birds", write("birds.csv", TinyData.birds())) }

    /// A model `birds@1`, deployed under `deployment` where one is named.
    public func trainBirds(deployment: String? = nil) throws {
        try addBirds()
        let extra = deployment.map { "deploy: {as: \($0)}" } ?? ""
        try json("train", write("birds.yaml", TinyData.recipe(extra: extra)))
        if let deployment {
            try waitUntil("\(deployment) is ready", seconds: 60) {
                try get("/api/v1/deployments/\(deployment)")["ready"]?.bool == true
            }
        }
    }

    /// Starts a training without waiting for it; its id.
    public func detach(_ recipe: String, name: String = "job.yaml") throws -> String {
        guard let id = try json("train", "--detach", write(name, recipe))["id"]?.string else {
            throw HarnessError("train --detach named no job")
        }
        return id
    }

    public func job(_ id: String) throws -> JSON { try get("/api/v1/jobs/\(id)") }

    /// Waits until the job is over; what it says then.
    public func finished(_ id: String, seconds: Double = 300) throws -> JSON {
        try waitUntil("the end of \(id)", seconds: seconds, every: 0.05) {
            let job = try self.job(id)
            return ["succeeded", "failed", "cancelled"].contains(job["state"]?.string ?? "") ? job : Optional.none
        }
    }

    public func events(_ id: String) throws -> [JSON] {
        try get("/api/v1/jobs/\(id)/events?limit=10000")["data"]?.array ?? []
    }

    /// What must be the same bits after any interruption: the weights' hash and the metrics.
    public func fingerprint(_ model: String) throws -> (weights: String, metrics: JSON) {
        let info = try get("/api/v1/models/\(model)")
        let files = info["files"]?.array ?? []
        guard let weights = files.first(where: { $0["path"]?.string == "model.safetensors" })?["hash"]?.string,
            let metrics = info["card"]?["metrics"]
        else { throw HarnessError("\(model) has no weights or no metrics: \(info)") }
        return (weights, metrics)
    }
}
