import Foundation
import Testing

@testable import MMoEReport

/// Which classes are taken for which, as a picture; and tables as comma-separated values.
@Suite struct ConfusionTests {
  /// `classes` classes of ten samples, of which the numbers 3 and 4, and 7 and 9, are taken for each other.
  private func matrix(_ classes: Int) -> ConfusionMatrix {
    let others = [3: 4, 4: 3, 7: 9, 9: 7]
    let samples = (0..<classes - 1).flatMap { label in
      (0..<10).map { (label: label, predicted: $0 < 4 ? others[label] ?? label : label) }
    }
    let names = (0..<classes).map { $0 == 4 ? "it's a 'long' name_of\na class, really" : "class \($0)" }
    return ConfusionMatrix(names: names, samples: samples)
  }

  @Test func smallOnesAreWhole() {
    let matrix = matrix(10)
    #expect(matrix.shown == Array(0..<10))
    let rows = matrix.percentages(of: matrix.shown)
    #expect(rows[3][3] == 60 && rows[3][4] == 40 && rows[0][0] == 100 && rows.allSatisfy { $0.count == 10 })
    // The last class has no samples.
    #expect(rows[9].allSatisfy { $0.isNaN })
  }

  @Test(arguments: [100, 200]) func largeOnesShowTheMostConfused(classes: Int) {
    let matrix = matrix(classes)
    #expect(matrix.shown.count == 30 && Set(matrix.shown).isSuperset(of: [3, 4, 7, 9]))
    for row in matrix.percentages(of: matrix.shown) {
      #expect(row.count == 31 && abs(row.reduce(0, +) - 100) < 1e-9)
    }
    // 30 classes with three mistakes each, all into classes that have fewer.
    let elsewhere = ConfusionMatrix(
      names: (0..<classes).map(String.init), samples: (0..<120).map { ($0 % 30, $0 < 90 ? 31 + $0 % 45 : $0 % 30) })
    #expect(elsewhere.shown == Array(0..<30))
    for row in elsewhere.percentages(of: elsewhere.shown) { #expect(row[30] == 75 && row.reduce(0, +) == 100) }
  }

  @Test(
    .disabled(if: PlotTests.gnuplotIsMissing, "needs gnuplot: apt-get install gnuplot-nox"), arguments: [2, 20, 200])
  func draws(classes: Int) throws {
    let file = NSTemporaryDirectory() + "confusion-\(UUID().uuidString).png"
    defer { unlink(file) }
    try ConfusionMatrix(
      names: (0..<classes).map { "name number \($0)" }, samples: (0..<4 * classes).map { ($0 / 4, $0 * 7 % classes) }
    ).figure(title: "shapes").write(to: file)
    #expect(try Data(contentsOf: URL(fileURLWithPath: file)).count > 5000)
  }

  /// RFC 4180, for characters of several scalars too.
  @Test(arguments: [
    ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("a\r\nb", "\"a\r\nb\""), ("a,\u{301}b", "\"a,\u{301}b\""),
    ("a\"\u{301}", "\"a\"\"\u{301}\""), ("plain 'text'; here", "plain 'text'; here"), ("\r", "\"\r\""),
  ]) func commaSeparatedValues(cell: String, written: String) {
    var table = CSVTable(["x", "y"])
    table.add([cell, "1"])
    #expect(Array(table.text.utf8) == Array("x,y\n\(written),1\n".utf8))
  }
}
