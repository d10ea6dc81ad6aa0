import Foundation
import MartletStore
import MartletWire

/// A fine-tuning job as OpenAI's API shows it.
public struct TuningJob: Sendable, Equatable {
    /// OpenAI's words for a job's state.
    public enum Status: String, Sendable, CaseIterable {
        case validatingFiles = "validating_files", queued, running, paused, succeeded, failed, cancelled

        /// The one table. A worker reads and checks the files first, and says `hyperparameters` when it has.
        init(_ state: JobState, hasReadData: Bool) {
            self =
                switch state {
                case .queued: .queued
                case .running: hasReadData ? .running : .validatingFiles
                case .pausing: .running
                case .paused: .paused
                case .succeeded: .succeeded
                case .failed: .failed
                case .cancelled: .cancelled
                }
        }
    }
    public var info: JobInfo
    public var status: Status
    /// The base as it was asked for.
    public var model: String
    public var trainingFile: String
    public var validationFile: String?
    public var suffix: String?
    public var metadata: JSON?
    public var seed: Int
    public var method: TuningConfig
    /// Nil is "auto": not chosen yet.
    public var epochCount: Int?
    public var batchSize: Int?
    public var learningRateMultiplier: Double?
    /// dpo, once it is known.
    public var beta: Double?
    public var fineTunedModel: String?
    public var trainedTokens: Int?
    public var resultFiles: [String]
    public var estimatedFinish: Date?

    /// `chosen` is the data of the event `hyperparameters`, once the worker has said it.
    init(_ job: StoredJob, info: JobInfo, chosen: JSON?, resultFiles: [String], now: Date) {
        self.info = info
        status = Status(info.state, hasReadData: chosen != nil)
        let tree = job.request.recipe ?? .null
        let recipe = try? RecipeReader.read(json: tree).recipe
        let source = recipe?.data.source ?? DataSource()
        model = tree["base"]?.string ?? ""
        trainingFile = source.train.first ?? source.all.first ?? ""
        validationFile = source.validation.first
        suffix = job.request.tuning?["suffix"]?.string
        metadata = job.request.tuning?["metadata"]
        seed = recipe?.training.seed ?? TuningRequest.defaultSeed
        method = recipe?.tuning ?? TuningConfig()
        // What the recipe leaves out has a default in the struct, and is the worker's choice.
        epochCount = chosen?["n_epochs"]?.int ?? tree["training"]?["epochs"]?.int
        batchSize = chosen?["batch_size"]?.int ?? tree["training"]?["batch_size"]?.int
        learningRateMultiplier = chosen?["learning_rate_multiplier"]?.double ?? method.learningRateMultiplier
        beta = chosen?["beta"]?.double ?? method.beta
        fineTunedModel = info.state == .succeeded ? info.result?["fine_tuned_model"]?.string : nil
        trainedTokens = info.state == .succeeded ? info.result?["trained_tokens"]?.int : nil
        self.resultFiles = resultFiles
        if status == .running, let seconds = info.progress?.secondsLeft, seconds.isFinite, (0...1e9).contains(seconds) {
            estimatedFinish = now + seconds
        }
    }
}
