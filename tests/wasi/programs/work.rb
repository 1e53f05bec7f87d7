words = %w[pear apple fig cherry banana]
puts words.sort_by { |w| [w.size, w] }.join(" ")
puts (1..30).inject(:*)
puts 2**200 % 1_000_007
fib = Hash.new { |h, n| h[n] = n < 2 ? n : h[n - 1] + h[n - 2] }
puts fib[90]
puts "Größe: #{"grün".upcase} #{"a1b22".gsub(/\d+/) { |d| (d.to_i * 2).to_s }}"
File.write("/out.txt", (1..1000).map { |i| "line #{i}\n" }.join)
puts File.foreach("/out.txt").count { |l| l.end_with?("7\n") }
puts Dir.children("/").sort.inspect
File.rename("/out.txt", "/done.txt")
puts File.exist?("/out.txt"), File.size("/done.txt")
begin
  File.read("/none")
rescue SystemCallError => e
  puts e.class
end
begin
  [].fetch(3)
rescue IndexError => e
  puts e.message
end
Point = Struct.new(:x, :y) { def norm = Math.sqrt(x * x + y * y) }
puts Point.new(3, 4).norm
puts Fiber.new { Fiber.yield 1; 2 }.then { |f| [f.resume, f.resume] }.inspect
puts 40.times.map { |i| i * i }.each_slice(7).map(&:sum).inspect
srand(7)
puts Array.new(5) { rand(100) }.inspect
puts format("%.10f %e %s", Math::PI, 1.0e-7, 0.1 + 0.2)
a = Array.new(20_000) { |i| (i * 7919) % 20_011 }
puts a.sort.each_cons(2).count { |x, y| y - x == 1 }
GC.start
puts a.map(&:to_s).uniq.size
raise "at the end"
