import { area, type Shape } from './shape';
import settings from './settings.json';
import { names } from './names.js';

enum Level { Low = 1, High = 1 << 4 }
const shapes: Shape[] = [{ kind: 'circle', radius: 2 }, { kind: 'box', w: 3, h: 4 }];

export class Report<T extends Shape> {
	#lines: string[] = [];
	constructor(private readonly items: T[]) {}
	add(this: Report<T>, item?: T): this {
		this.#lines.push(`${item?.kind ?? 'none'}: ${item ? area(item) : 0}`);
		return this;
	}
	async *[Symbol.asyncIterator]() {
		for (const item of this.items) yield [item, this.#lines.length ** 2] as const;
	}
}
for (const shape of shapes) console.log(area(shape), names.get(shape.kind), settings.unit);
if (Level.High > 3) console.log(import.meta.url, Level[16]);
