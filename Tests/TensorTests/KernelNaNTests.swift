import Foundation
import KernelLevels
import TestSupport
import Testing

/// The levels that kernels are compiled for; another processor has the lowest alone.
enum KernelLevel: CaseIterable {
  case base, v3, v4

  /// Nil where this CPU or build has none.
  var kernels: kernel_table? {
    kernels_of_level([KERNELS_BASE, KERNELS_V3, KERNELS_V4][Self.allCases.firstIndex(of: self)!])?.pointee
  }
}

/// Not a number stays visible: in every kernel, from every input, at every CPU level.
@Suite struct KernelNaNTests {
  /// The usual one, one with the sign, and one whose payload ends where integer arithmetic on the bits would see it.
  static let notNumbers = [Float.nan, Float(bitPattern: 0xFFFF_FFFF), Float(bitPattern: 0x7FC0_0101)]

  @Test(arguments: KernelProbe.all) func base(probe: KernelProbe) throws {
    KernelNaNTests.check(probe, try #require(KernelLevel.base.kernels))
  }

  @Test(
    .enabled(if: KernelLevel.v3.kernels != nil, "this CPU or build has no kernels of the level x86-64-v3"),
    arguments: KernelProbe.all)
  func v3(probe: KernelProbe) throws {
    KernelNaNTests.check(probe, try #require(KernelLevel.v3.kernels))
  }

  @Test(
    .enabled(if: KernelLevel.v4.kernels != nil, "this CPU or build has no kernels of the level x86-64-v4"),
    arguments: KernelProbe.all)
  func v4(probe: KernelProbe) throws {
    KernelNaNTests.check(probe, try #require(KernelLevel.v4.kernels))
  }

  /// What depends on an element is found by giving it other values; with a NaN in its place all of that must be NaN.
  private static func check(_ probe: KernelProbe, _ kernels: kernel_table) {
    let usual = probe.run(kernels, probe.inputs)
    for (name, values) in probe.inputs.sorted(by: { $0.key < $1.key }) {
      var isRead = false
      // Every third element, with the rest after the wide loops: of rows of 37, in turn all columns.
      for i in values.indices where i % 3 == 0 || i >= values.count - 6 {
        func outputs(_ value: Float) -> KernelProbe.Arrays {
          var inputs = probe.inputs
          inputs[name]![i] = value
          return probe.run(kernels, inputs)
        }
        let changed = [values[i] + 0.37, -1.9 * values[i] - 0.8, values[i] + 30, values[i] - 30].map(outputs)
        let bad = notNumbers.map(outputs)
        for (output, before) in usual {
          for j in before.indices where changed.contains(where: { $0[output]![j].bitPattern != before[j].bitPattern }) {
            isRead = true
            for (value, after) in zip(notNumbers, bad) where !after[output]![j].isNaN {
              Issue.record(
                "\(name)[\(i)] = 0x\(String(value.bitPattern, radix: 16)): \(output)[\(j)] is \(after[output]![j])")
              return
            }
          }
        }
        // Infinite settings, such as a divisor, are no overflow.
        for value in [Float.infinity, -.infinity] where values.count > 1 && probe.mayBe[name]?.contains(value) != true {
          let after = outputs(value)
          let depends = usual.contains { output, before in
            changed.contains { zip($0[output]!, before).contains { $0.bitPattern != $1.bitPattern } }
          }
          if depends, after.allSatisfy({ $0.value.allSatisfy(\.isFinite) }) {
            Issue.record("\(name)[\(i)] = \(value): all outputs are finite")
            return
          }
        }
      }
      #expect(isRead, "no output depends on \(name)")
    }
  }

  /// Classes that nothing is better than are no right answers, whichever logit of the row is NaN.
  @Test(arguments: KernelLevel.allCases.filter { $0.kernels != nil }, [0, 1, 20, 36])
  func aRowWithNaNHasNoRank(level: KernelLevel, place: Int) throws {
    let kernels = try #require(level.kernels)
    for target in [Int32(0), 1, 36] {
      var logits = (0..<37).map { Float($0 % 5) }
      logits[place] = .nan
      var (losses, ranks) = ([Float(0)], [Int32(0)])
      kernels.mmoe_cross_entropy(&logits, [target], &losses, &ranks, 1, 0, 1, 37)
      #expect(ranks == [.max] && losses[0].isNaN, "target \(target)")
    }
  }

  /// A weight of 0 is a weight: 0 times NaN is NaN.
  @Test func identityExpertsWithoutWeight() {
    var y: [Float] = [1, 1]
    mmoe_identity_rows(&y, [.nan, .infinity], [4, 4], [0, 0], 4, 2, 1, 1)
    #expect(y[0].isNaN && y[1].isNaN)
  }

  /// Ranks without NaN: larger logits, and equal ones before the target.
  @Test func ranksCountWhatComesBefore() {
    for target in 0..<19 {
      let values = (0..<19).map { Float($0 * 7 % 6) }
      var (logits, losses, ranks) = (values, [Float(0)], [Int32(0)])
      mmoe_cross_entropy(&logits, [Int32(target)], &losses, &ranks, 1, 0, 1, 19)
      let before = values.indices.count {
        values[$0] > values[target] || (values[$0] == values[target] && $0 < target)
      }
      #expect(ranks == [Int32(before)])
    }
  }

  /// The mean of the logits that label smoothing asks for is a number where their sum is none, and is not asked for without.
  @Test func smoothingOfRowsThatOverflow() {
    func loss(_ values: [Float], smoothing: Float) -> Float {
      var (logits, losses, ranks) = (values, [Float(0)], [Int32(0)])
      mmoe_cross_entropy(&logits, [2], &losses, &ranks, 1, smoothing, 1, values.count)
      #expect(logits.allSatisfy { $0.isFinite })
      return losses[0]
    }
    // At 3e38 one nat is far below the distance of neighboring numbers.
    #expect(loss(Array(repeating: 3e38, count: 19), smoothing: 0) == 0)
    #expect(loss(Array(repeating: 3e38, count: 19), smoothing: 0.125) == 0)
    #expect(loss([0, -.infinity, 0], smoothing: 0) == log(Float(2)))
    // Smoothing gives a class that cannot be a share of the target.
    #expect(loss([0, -.infinity, 0], smoothing: 0.125) == .infinity)
  }

  /// A kernel that is declared must be in the table above.
  @Test func everyKernelIsProbed() throws {
    let path = ProgramRunner.package + "/Sources/C/Kernels/include/CKernels.h"
    let header = try String(contentsOfFile: path, encoding: .utf8)
    let code = header.split(separator: "\n").filter { !$0.hasPrefix("//") }.joined(separator: "\n")
    let declared = Set(code.matches(of: /\b(mmoe_\w+)\(/).map { String($0.1) })
      .subtracting(["mmoe_spin_pause", "mmoe_kernel_level"])
    #expect(declared.count >= 40)
    #expect(declared == Set(KernelProbe.all.map(\.kernel)))
  }
}
