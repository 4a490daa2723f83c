// swift-tools-version: 6.0
// Targets from the bottom up; a test (ArchitectureTests) holds the imports to this order.
// C libraries and their Debian packages: OpenBLAS libopenblas-dev, oneDNN libdnnl-dev (optional),
// libpng libpng-dev, HDF5 libhdf5-dev, xxHash libxxhash-dev, zlib zlib1g-dev, zstd libzstd-dev, Open MPI
// libopenmpi-dev, FreeType libfreetype-dev, HarfBuzz libharfbuzz-dev. `scripts/mmoe` installs them.
import Foundation
import PackageDescription

/// oneDNN is built in where its header is installed; `MMOE_ONEDNN=0` builds without it.
let oneDNN =
  ProcessInfo.processInfo.environment["MMOE_ONEDNN"] != "0"
  && FileManager.default.fileExists(atPath: "/usr/include/dnnl.h")

let blasSettings: [CSetting] = oneDNN ? [.define("MMOE_ONEDNN")] : []
let blasLinks: [LinkerSetting] =
  [.linkedLibrary("openblas")]
  + (oneDNN ? [.linkedLibrary("dnnl"), .linkedLibrary("gomp")] : [])

// Contraction into FMA is allowed: results may differ between CPU levels, never between thread
// counts, since tiles and lanes are fixed.
let kernelFlags: [CSetting] = [
  .unsafeFlags(["-O3", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi"])
]

let package = Package(
  name: "mmoe",
  products: [.executable(name: "mmoe", targets: ["mmoe"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .target(name: "CKernels", path: "Sources/CKernels", cSettings: kernelFlags),
    .target(
      name: "CBLAS", path: "Sources/CBLAS", cSettings: blasSettings, linkerSettings: blasLinks),
    .systemLibrary(
      name: "CLibPNG", path: "Sources/CLibPNG", pkgConfig: "libpng",
      providers: [.apt(["libpng-dev"])]),
    .target(name: "CPNG", dependencies: ["CLibPNG"], path: "Sources/CPNG"),
    .systemLibrary(
      name: "CLibHDF5", path: "Sources/CLibHDF5", pkgConfig: "hdf5-serial",
      providers: [.apt(["libhdf5-dev"])]),
    .target(
      name: "CHDF5", dependencies: ["CLibHDF5"], path: "Sources/CHDF5",
      linkerSettings: [.linkedLibrary("xxhash")]),
    .systemLibrary(
      name: "CLibFreeType", path: "Sources/CLibFreeType", pkgConfig: "freetype2",
      providers: [.apt(["libfreetype-dev"])]),
    .systemLibrary(
      name: "CLibHarfBuzz", path: "Sources/CLibHarfBuzz", pkgConfig: "harfbuzz",
      providers: [.apt(["libharfbuzz-dev"])]),
    .target(name: "CGlyphs", dependencies: ["CLibFreeType", "CLibHarfBuzz"], path: "Sources/CGlyphs"),
    .target(name: "CHash", path: "Sources/CHash", linkerSettings: [.linkedLibrary("xxhash")]),
    .target(
      name: "CCompress", path: "Sources/CCompress",
      linkerSettings: [.linkedLibrary("z"), .linkedLibrary("zstd")]),
    .systemLibrary(
      name: "CLibMPI", path: "Sources/CLibMPI", pkgConfig: "ompi-c",
      providers: [.apt(["libopenmpi-dev"])]),
    .target(name: "CMPI", dependencies: ["CLibMPI"], path: "Sources/CMPI"),
    .target(name: "CMemory", path: "Sources/CMemory"),

    .target(name: "MMoEFiles", path: "Sources/Files"),
    .target(name: "MMoETensor", dependencies: ["CKernels", "CBLAS"], path: "Sources/Tensor"),
    .target(
      name: "MMoEData", dependencies: ["MMoEFiles", "MMoETensor", "CPNG", "CGlyphs", "CHash", "CCompress"],
      path: "Sources/Data"),
    .target(name: "MMoEModels", dependencies: ["MMoETensor"], path: "Sources/Models"),
    .target(
      name: "MMoEParallel", dependencies: ["CMPI", "CKernels", "MMoEFiles", "MMoETensor", "MMoEModels"],
      path: "Sources/Parallel"),
    .target(name: "MMoEHDF5", dependencies: ["CHDF5", "MMoEFiles"], path: "Sources/HDF5"),
    .target(
      name: "MMoETrain",
      dependencies: [
        "CKernels", "CMemory", "MMoEFiles", "MMoETensor", "MMoEData", "MMoEModels", "MMoEParallel", "MMoEHDF5",
        "Yams",
      ], path: "Sources/Train"),
    .executableTarget(
      name: "mmoe",
      dependencies: [
        "MMoETrain", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Sources/mmoe"),

    .target(name: "TestSupport", dependencies: ["MMoETensor"], path: "Tests/Support"),
    .target(name: "KernelLevels", dependencies: ["CKernels"], path: "Tests/KernelLevels"),
    .testTarget(
      name: "TensorTests", dependencies: ["MMoETensor", "KernelLevels", "TestSupport"], path: "Tests/TensorTests"),
    .testTarget(
      name: "DataTests", dependencies: ["MMoEData", "TestSupport"], path: "Tests/DataTests"),
    .testTarget(
      name: "ModelsTests", dependencies: ["MMoEModels", "TestSupport"], path: "Tests/ModelsTests"),
    .executableTarget(
      name: "parallel-checks",
      dependencies: ["MMoETensor", "MMoEModels", "MMoEParallel", "MMoETrain"], path: "Tests/ParallelChecks"),
    .testTarget(
      name: "ParallelTests",
      dependencies: ["MMoEParallel", "MMoETrain", "TestSupport", "parallel-checks", "mmoe"],
      path: "Tests/ParallelTests"),
    .testTarget(name: "HDF5Tests", dependencies: ["MMoEHDF5"], path: "Tests/HDF5Tests"),
    .testTarget(
      name: "TrainTests", dependencies: ["MMoEFiles", "MMoETrain", "TestSupport", "mmoe"], path: "Tests/TrainTests"),
    .testTarget(
      name: "CLITests", dependencies: ["MMoEData", "TestSupport", "mmoe"], path: "Tests/CLITests"),
  ],
  swiftLanguageModes: [.v6]
)
