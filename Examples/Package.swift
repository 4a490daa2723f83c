// swift-tools-version: 6.0
// Programs outside of the package that import its modules. `scripts/examples` builds and runs them.
// In a package of one's own the dependency is a version: .package(url: "https://…/mmoe", from: "1.0.0").
import PackageDescription

let modules = [
  "MMoETensor", "MMoEData", "MMoEModels", "MMoEParallel", "MMoEReport", "MMoEConfig", "MMoETrain", "MMoERuns",
]
let programs = [
  "TrainGPT", "OwnVariant", "OwnRouter", "OwnBalance", "OwnOptimizer", "OwnLayer", "OwnModality", "OwnTask", "TwoRanks",
]

let package = Package(
  name: "examples",
  dependencies: [.package(name: "mmoe", path: "..")],
  targets: programs.map {
    .executableTarget(name: $0, dependencies: modules.map { .product(name: $0, package: "mmoe") })
  },
  swiftLanguageModes: [.v6]
)
