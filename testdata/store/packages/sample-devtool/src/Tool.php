<?php

declare(strict_types=1);

namespace Sample\DevTool;

final class Tool
{
}
