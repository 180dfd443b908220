"The package's metadata stands in settings.ini; its version in dance2music/__init__.py."
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
version = re.search(r'__version__ = "(.+)"', (here/'dance2music/__init__.py').read_text(encoding='utf-8'))[1]
extras = {k.removesuffix('_requirements'): v.split() for k, v in cfg.items() if k.endswith('_requirements')}
extras['dev'] = [r for name in ('download', 'train', 'cluster', 'app', 'test', 'dev') for r in extras[name]]

setup(name=cfg['lib_name'], version=version, description=cfg['description'], author=cfg['author'], url=cfg['git_url'],
      keywords=cfg['keywords'].split(), license=cfg['license'], python_requires='>=' + cfg['min_python'],
      long_description=(here/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
      packages=find_packages(include=['dance2music', 'dance2music.*']), include_package_data=True,
      install_requires=cfg['requirements'].split(), extras_require=extras,
      entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': ['dance2music=dance2music._modidx:d']})
