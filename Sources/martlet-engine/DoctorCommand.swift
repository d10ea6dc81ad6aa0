import Foundation
import MartletTensor
import MartletWire

/// `doctor`: what the engine finds on this machine, as JSON.
enum DoctorCommand {
    static func run() throws {
        let devices = Device.available.map { JSON.string($0.description) }
        let json: JSON = [
            "libtorch": .string(Torch.version), "cpu_capability": .string(Torch.cpuCapability),
            "cores": JSON(ProcessInfo.processInfo.activeProcessorCount),
            "memory_bytes": JSON(Int(clamping: ProcessInfo.processInfo.physicalMemory)), "devices": .array(devices),
        ]
        print(json.serialized())
    }
}
