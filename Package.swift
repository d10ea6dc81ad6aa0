// swift-tools-version: 6.1
// Martlet: a self-hosted service for large models.
import PackageDescription

/// libtorch as `scripts/setup` leaves it: a folder or a link at `.deps/libtorch` with `include/` and `lib/`.
let libtorch = Context.packageDirectory + "/.deps/libtorch"

/// `make` sets this on the compiler that we develop with; another compiler's new warnings must not stop a user's build.
let strict = Context.environment["MARTLET_WARNINGS_AS_ERRORS"] == "1"
let swift: [SwiftSetting] = strict ? [.unsafeFlags(["-warnings-as-errors"])] : []

/// Where the engine looks for libtorch: beside an installed engine, or in the working copy. Both move with it.
let runpaths = ["$ORIGIN/../lib/martlet", "$ORIGIN/../../../.deps/libtorch/lib"]
func runpathFlags(_ paths: [String]) -> [String] { paths.flatMap { ["-Xlinker", "-rpath", "-Xlinker", $0] } }
let linkTorch: [LinkerSetting] = [
    .unsafeFlags(["-L\(libtorch)/lib"] + runpathFlags(runpaths)),
    .linkedLibrary("torch_cpu"), .linkedLibrary("c10"),
]

func target(_ name: String, _ dependencies: [Target.Dependency], links: [LinkerSetting] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: swift, linkerSettings: links)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: swift)
}

func nio(_ product: String) -> Target.Dependency { .product(name: product, package: "swift-nio") }
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "martlet",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", exact: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    ],
    targets: [
        // Both sides: messages, the recipe and its checks, errors. No tensors, no database.
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        target("MartletWire", ["CCrypto", "Yams"]),
        // Tokenizers, chat templates, constraints on what is generated. No tensors.
        target("MartletText", ["MartletWire"]),

        // The engine side, which links libtorch.
        .target(
            name: "CTorch", dependencies: ["CKernels"],
            cxxSettings: [
                .headerSearchPath("../CKernels"),
                .unsafeFlags([
                    "-isystem", "\(libtorch)/include", "-isystem", "\(libtorch)/include/torch/csrc/api/include",
                    "-D_GLIBCXX_USE_CXX11_ABI=1", "-Wno-deprecated-declarations",
                ]),
            ],
            linkerSettings: linkTorch),
        .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3"])]),
        .target(
            name: "CImages",
            linkerSettings: [.linkedLibrary("png"), .linkedLibrary("turbojpeg"), .linkedLibrary("z")]),
        target("MartletTensor", ["CTorch", "CKernels", "MartletWire"]),
        target("MartletNN", ["MartletTensor", "MartletWire"]),
        target("MartletData", ["MartletWire", "CImages"]),
        target("MartletModels", ["MartletNN", "MartletTensor", "MartletData", "MartletText", "MartletWire"]),
        target(
            "MartletTraining",
            ["MartletModels", "MartletNN", "MartletTensor", "MartletData", "MartletText", "MartletWire"]),
        target(
            "MartletServing",
            [
                "MartletModels", "MartletNN", "MartletTensor", "MartletData", "MartletText", "CKernels", "MartletWire",
            ]),
        .executableTarget(
            name: "martlet-engine",
            dependencies: [
                "MartletServing", "MartletTraining", "MartletModels", "MartletNN", "MartletTensor", "MartletData",
                "MartletText", "MartletWire",
            ],
            swiftSettings: swift),

        // The platform side, which does not.
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        target("MartletStore", ["MartletWire", .product(name: "GRDB", package: "GRDB.swift")]),
        target(
            "MartletPlatform",
            [
                "MartletStore", "MartletText", "MartletWire", "Yams", nio("NIOPosix"), nio("NIOCore"), logging,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]),
        target(
            "MartletServer",
            [
                "MartletPlatform", "MartletStore", "MartletText", "MartletWire", "CZlib",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"), nio("NIOCore"), nio("NIOPosix"),
                nio("NIOHTTP1"), .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"), logging,
            ]),
        .executableTarget(
            name: "martlet",
            dependencies: [
                "MartletServer", "MartletPlatform", "MartletWire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"), nio("NIOCore"), nio("NIOHTTP1"),
                logging,
            ],
            swiftSettings: swift,
            // An installed martlet has Swift's own libraries there, and needs no toolchain.
            linkerSettings: [.unsafeFlags(runpathFlags(["$ORIGIN/../lib/martlet"]))]),

        tests("MartletWireTests", ["MartletWire"]),
        // The real programs, started, killed and asked. The long ones are in `make test-long`.
        .target(
            name: "MartletTesting", dependencies: ["MartletWire"], path: "Tests/MartletTesting", swiftSettings: swift),
        tests("MartletProcessTests", ["MartletTesting", "MartletWire"]),
        tests("MartletLongTests", ["MartletTesting", "MartletWire"]),
        tests("MartletTensorTests", ["MartletTensor", "CKernels", "MartletWire"]),
        tests("MartletNNTests", ["MartletNN", "MartletTensor", "MartletWire"], resources: [.copy("Golden")]),
        tests(
            "MartletServerTests",
            [
                "MartletServer", "MartletPlatform", "MartletTesting", "MartletWire",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"), nio("NIOCore"), nio("NIOHTTP1"), logging,
            ]),
        tests("MartletTextTests", ["MartletText", "MartletWire"], resources: [.copy("Golden")]),
        tests(
            "MartletModelsTests",
            ["MartletModels", "MartletNN", "MartletTensor", "MartletText", "MartletTesting", "MartletWire"],
            resources: [.copy("Golden")]),
        tests(
            "MartletTrainingTests",
            [
                "MartletTraining", "MartletModels", "MartletNN", "MartletTensor", "MartletData", "MartletTesting",
                "MartletWire",
            ],
            resources: [.copy("Golden")]),
        tests(
            "MartletServingTests",
            [
                "MartletServing", "MartletTraining", "MartletModels", "MartletNN", "MartletTensor", "MartletData",
                "MartletText", "MartletTesting", "CKernels", "MartletWire",
            ]),
        tests("MartletDataTests", ["MartletData", "MartletTesting", "MartletWire"]),
        tests("MartletStoreTests", ["MartletStore", "MartletWire"]),
        tests(
            "MartletPlatformTests",
            [
                "MartletPlatform", "MartletStore", "MartletTesting", "MartletWire", nio("NIOPosix"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "Logging", package: "swift-log"),
            ]),
    ],
    cLanguageStandard: .c11,
    cxxLanguageStandard: .cxx20
)
