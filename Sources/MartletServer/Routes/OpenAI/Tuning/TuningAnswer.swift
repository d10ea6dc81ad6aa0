import Foundation
import MartletPlatform
import MartletWire

/// A fine-tuning job, its events and checkpoints in OpenAI's form.
enum TuningAnswer {
    static func document(_ job: TuningJob, _ by: Principal) -> JSON {
        let hyperparameters = hyperparameters(job)
        return [
            "id": .string(job.info.id), "object": "fine_tuning.job", "created_at": JSON(job.info.createdAt),
            "finished_at": job.info.finishedAt.map { JSON($0) } ?? .null, "model": .string(job.model),
            "fine_tuned_model": text(job.fineTunedModel), "organization_id": .string(by.projectName),
            "status": .string(job.status.rawValue), "training_file": .string(job.trainingFile),
            "validation_file": text(job.validationFile),
            "result_files": .array(job.resultFiles.map { .string($0) }), "error": error(job.info),
            "hyperparameters": .object(
                hyperparameters.filtered(["n_epochs", "batch_size", "learning_rate_multiplier"])),
            "trained_tokens": job.trainedTokens.map { JSON($0) } ?? .null, "seed": JSON(job.seed),
            "estimated_finish": job.estimatedFinish.map { JSON($0) } ?? .null, "integrations": [],
            "metadata": job.metadata ?? .null, "user_provided_suffix": text(job.suffix),
            "method": method(job, hyperparameters),
        ]
    }

    private static func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }

    /// What was chosen or asked for; `auto` until it is known.
    private static func hyperparameters(_ job: TuningJob) -> JSONObject {
        var values: JSONObject = [
            "n_epochs": job.epochCount.map { JSON($0) } ?? "auto",
            "batch_size": job.batchSize.map { JSON($0) } ?? "auto",
            "learning_rate_multiplier": job.learningRateMultiplier.map { .double($0) } ?? "auto",
        ]
        if job.method.method == .dpo { values["beta"] = job.beta.map { .double($0) } ?? "auto" }
        return values
    }

    private static func method(_ job: TuningJob, _ hyperparameters: JSONObject) -> JSON {
        let type = job.method.method
        var own: JSONObject = ["hyperparameters": .object(hyperparameters)]
        if type == .reinforcement { own["grader"] = job.method.grader }
        return .object(["type": .string(type.rawValue), type.rawValue: .object(own)])
    }

    private static func error(_ info: JobInfo) -> JSON {
        guard info.state == .failed, let error = info.error else { return .null }
        return [
            "code": .string(error.code.rawValue), "message": .string(error.message), "param": text(error.param),
        ]
    }

    // MARK: Events

    static func eventID(_ event: JobEventInfo, jobID: String) -> String {
        "ftevent-\(jobID.split(separator: "-").last ?? Substring(jobID))-\(event.sequence)"
    }

    /// The sequence in an event's id. Throws `invalidRequest` for what is no event's id of this job.
    static func sequence(ofEvent id: String, jobID: String) throws -> Int {
        let parts = id.split(separator: "-")
        guard parts.count == 3, parts[0] == "ftevent", parts[1] == jobID.split(separator: "-").last,
            let sequence = Int(parts[2]), sequence > 0
        else {
            throw MartletError(
                .invalidRequest, "'after' is '\(id.prefix(60))', which is no event of this job; give an event's id",
                param: "after")
        }
        return sequence
    }

    static func document(_ event: JobEventInfo, jobID: String) -> JSON {
        let level =
            switch event.event.level {
            case "warning", "warn": "warn"
            case "error": "error"
            default: event.event.type == "warning" ? "warn" : "info"
            }
        // Scripts read `data.step` of whatever is `metrics`; what measures no step is a message here.
        let isStep = event.event.type == "metrics" && event.event.data["step"]?.int != nil
        return [
            "object": "fine_tuning.job.event", "id": .string(eventID(event, jobID: jobID)),
            "created_at": JSON(event.createdAt), "level": .string(level), "message": .string(event.event.message),
            "type": isStep ? "metrics" : "message", "data": event.event.data,
        ]
    }

    static func document(_ checkpoint: TunedCheckpointInfo) -> JSON {
        var metrics: JSONObject = ["step": JSON(checkpoint.step)]
        for (name, value) in checkpoint.metrics.sorted(by: { $0.key < $1.key }) where value.isFinite && name != "step" {
            metrics[name] = .double(value)
        }
        return [
            "object": "fine_tuning.job.checkpoint", "id": .string(checkpoint.id),
            "created_at": JSON(checkpoint.createdAt), "fine_tuned_model_checkpoint": .string(checkpoint.alias),
            "fine_tuning_job_id": .string(checkpoint.jobID), "step_number": JSON(checkpoint.step),
            "metrics": .object(metrics),
        ]
    }
}

extension JSONObject {
    /// Only these keys.
    fileprivate func filtered(_ keys: [String]) -> JSONObject {
        JSONObject(keys.compactMap { key in self[key].map { (key, $0) } })
    }
}
