import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

// N tokens, D width

/// Texts to be made vectors, and those that are.
struct EmbeddingWork: Sendable {
    let id: LanguageScheduler.RequestID
    let inputs: [[Int32]]
    let adapter: AdapterLease?
    let done: @Sendable (Result<[[Float]], MartletError>) -> Void
    var vectors: [[Float]] = []

    init(
        id: LanguageScheduler.RequestID, inputs: [[Int32]], adapter: AdapterLease?,
        done: @escaping @Sendable (Result<[[Float]], MartletError>) -> Void
    ) {
        (self.id, self.inputs, self.adapter, self.done) = (id, inputs, adapter, done)
    }
}

extension [EmbeddingWork] {
    /// Nobody waits for its vectors any more; `delivery` tells so.
    mutating func cancel(_ id: LanguageScheduler.RequestID, _ delivery: DispatchQueue) {
        guard let place = firstIndex(where: { $0.id == id }) else { return }
        let done = remove(at: place).done
        delivery.async { done(.failure(MartletError(.cancelled, "the client left before the answer was there"))) }
    }
}

extension LanguageEngine {
    /// Tokens after which answers get their turn again.
    private static let embeddingTokens = 512

    /// Some of the texts that wait: a long list must not hold the answers up.
    func embedSome() {
        var budget = Self.embeddingTokens
        while budget > 0, !embeddings.isEmpty {
            var work = embeddings.removeFirst()
            do {
                let tokens = work.inputs[work.vectors.count]
                work.vectors.append(try vector(tokens, work.adapter?.weights))
                budget -= tokens.count
                if work.vectors.count < work.inputs.count {
                    embeddings.append(work)
                } else {
                    finish(work, .success(work.vectors))
                }
            } catch {
                finish(work, .failure(ServingFailure.wire(error)))
            }
        }
    }

    private func finish(_ work: EmbeddingWork, _ result: Result<[[Float]], MartletError>) {
        delivery.async { work.done(result) }
    }

    /// A vector of a text's last hidden states, scaled to length 1.
    private func vector(_ tokens: [Int32], _ adapter: AdapterWeights?) throws -> [Float] {
        try Tensor.inference {
            let hidden_ND = try pass.hidden(alone: tokens, adapter)
            return try UnitVector.scaled(pooling.vector(of: hidden_ND).array(of: Float.self))
        }
    }
}
