import Foundation
import MMoETensor
import TestSupport
import Testing

@testable import MMoEBench
@testable import MMoETrain

/// Every reference case: outputs and all gradients within 10⁻⁴ of float64.
@Suite struct ParityTests {
  static let python = "/usr/bin/python3"

  /// Debian's Python with numpy and h5py, which `scripts/test` installs.
  static let hasReference: Bool = {
    let result = try? ProgramRunner.run(["-c", "import numpy, h5py"], program: python)
    return result?.status == 0
  }()

  static let sharedFolder = ProgramRunner.package + "/../shared/cases"

  private func expectParity(_ files: [String]) throws {
    let engine = try Engine(threads: 2)
    var compared = 0
    for file in files {
      let report = try ParitySession.run(ParityCase(file), engine)
      let worst = report.worst
      #expect(worst.relative < 1e-4, "\(file): \(worst.name) differs by \(worst.relative)")
      #expect(!report.lines.isEmpty)
      compared += 1
    }
    #expect(compared > 0)
  }

  @Test(.enabled(if: hasReference, "needs /usr/bin/python3 with numpy and h5py; scripts/test installs them"))
  func ownCases() throws {
    let scratch = ScratchFolder()
    let generator = ProgramRunner.package + "/Tests/Reference/make_cases.py"
    let made = try ProgramRunner.run([generator, scratch.path], program: ParityTests.python)
    try #require(made.status == 0, "\(made.errors)")
    let files = try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted()
    #expect(files.count > 150)
    try expectParity(files.map(scratch.callAsFunction))
  }

  /// The shared cases, and of each what it asks for that no model here has.
  static let shared: [(file: String, unknown: String?)] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: sharedFolder)) ?? []
    return names.filter { $0.hasSuffix(".h5") }.sorted().map { name in
      let file = sharedFolder + "/" + name
      return (file, (try? ParityCase(file))?.unknownFeature)
    }
  }()
  static let unknown = shared.filter { $0.unknown != nil }

  @Test(.enabled(if: !shared.isEmpty, "needs the shared reference cases"))
  func sharedCases() throws {
    try expectParity(ParityTests.shared.filter { $0.unknown == nil }.map(\.file))
    for (file, feature) in ParityTests.unknown {
      #expect { try ParitySession.run(ParityCase(file), Engine(threads: 1)) } throws: {
        "\($0)" == "\(file): a case of \(feature!), which this version does not have; leave it out"
      }
    }
  }

  @Test(
    .disabled(
      if: !unknown.isEmpty,
      "cases that no model here has: \(unknown.map { "\($0.file.split(separator: "/").last!) (\($0.unknown!))" }.joined(separator: ", "))"
    )) func nothingSharedIsLeftOut()
  {
    #expect(ParityTests.unknown.isEmpty)
  }

  /// The comparison itself: a NaN and a missing array must not pass.
  @Test func reportNoticesNaNAndMissingArrays() {
    var report = ParityReport()
    report.compare("same", [1.0, 2], [1.0, 2])
    #expect(report.worst.relative == 0)
    report.compare("nan", [1.0, .nan], [1.0, 2])
    #expect(report.worst.relative == .infinity)
    var other = ParityReport()
    other.compare("short", [Double](), [1.0])
    #expect(other.worst.relative == .infinity)
  }
}
